import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { createJsonFormat } from '../../../src/exporters/access-log/json-format.ts';
import { createTextFormat } from '../../../src/exporters/access-log/text-format.ts';
import type { Peers } from '../../../src/identity/types.ts';
import type { ConnectionRecord } from '../../../src/receiver/types.ts';
import { accessLogFields } from '../../../src/semconv/log-record.ts';
import { BOOT_ID, connection, createSource, peers, service, workload } from './fixtures.ts';
import { parseJson, parseText } from './parse-line.ts';

/** Any UTF-16 text, and often what breaks lines: quotes, backslashes, line ends of every kind, terminal sequences. */
const nasty = fc.constantFrom(
  '"',
  '\\',
  '\n',
  '\r',
  '\t',
  '\0',
  '\u001b[2J',
  '\u0085',
  '\u2028',
  '\u2029',
  '=',
  ' ',
  'é',
  '\ud800',
);
const text = fc
  .array(fc.oneof(nasty, fc.string({ unit: 'binary', maxLength: 4 })), { minLength: 1, maxLength: 6 })
  .map((parts) => parts.join(''));
const maybe = fc.option(text, { nil: undefined });

const end = fc
  .record({ podName: maybe, namespace: maybe, canonicalService: maybe, principal: maybe, cluster: maybe })
  .map(workload);

const between: fc.Arbitrary<Peers> = fc
  .record({
    reporter: fc.constantFrom('source' as const, 'destination' as const),
    source: fc.option(end, { nil: undefined }),
    destination: fc.option(end, { nil: undefined }),
    service: fc.option(text.map(service), { nil: undefined }),
    securityPolicy: fc.constantFrom('mutual_tls' as const, 'unknown' as const),
  })
  .map(peers);

const address = fc.oneof(fc.ipV4(), fc.constantFrom('', '::1', '2001:db8::1', 'fe80::1'));
const port = fc.integer({ min: 0, max: 65535 });
const count = fc.maxSafeNat();

const record: fc.Arbitrary<ConnectionRecord> = fc
  .record({
    event: fc.constantFrom('open' as const, 'close' as const, 'fail' as const),
    role: fc.constantFrom('source' as const, 'destination' as const),
    localAddress: address,
    localPort: port,
    remoteAddress: address,
    remotePort: port,
    timeNs: fc.maxSafeNat(),
    openedNs: fc.maxSafeNat(),
    bytesSent: count,
    bytesReceived: count,
    errno: fc.integer({ min: 0, max: 133 }),
    errorType: maybe,
  })
  .map(connection);

/** The fields as the rules give them, without any rendering. */
function expectedFields(given: ConnectionRecord, names: Peers): [string, string | number][] {
  const fields: [string, string | number][] = [];
  const take = (name: string, value: string | number) => void fields.push([name, value]);
  accessLogFields(given, names, { string: take, int: take, double: take });
  return fields;
}

/** Nothing below a space but the tabs, no DEL, no C1, no line end of any kind, no half of a surrogate pair. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
const UNSAFE = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029\p{Cs}]/u;

const source = createSource(new Date('2026-11-23T16:16:19.708Z'));

it('a text line parses back to its fields, in order, whatever the names hold', () => {
  const format = createTextFormat();
  fc.assert(
    fc.property(record, between, (given, names) => {
      const line = format(given, names, source);
      expect(parseText(line).fields).toEqual(expectedFields(given, names));
      expect(line.slice(0, -1)).not.toMatch(UNSAFE);
      expect(line.split('\t')).toHaveLength(5);
    }),
  );
});

it('a JSON line parses back to its fields and the id, whatever the names hold', () => {
  const format = createJsonFormat();
  fc.assert(
    fc.property(record, between, (given, names) => {
      const line = format(given, names, source);
      const id = ['tcpledger.connection.id', `${BOOT_ID}-${given.connectionId}`];
      expect(parseJson(line).fields).toEqual([...expectedFields(given, names), id]);
      expect(line.slice(0, -1)).not.toMatch(UNSAFE);
    }),
  );
});

it('both formats say the same', () => {
  const asText = createTextFormat();
  const asJson = createJsonFormat();
  fc.assert(
    fc.property(record, between, (given, names) => {
      const json = parseJson(asJson(given, names, source));
      expect(parseText(asText(given, names, source))).toEqual({ ...json, fields: json.fields.slice(0, -1) });
    }),
  );
});
