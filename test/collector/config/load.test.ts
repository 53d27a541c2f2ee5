/* biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${env:…} is the grammar under test */
/** What comes out of a right configuration, files that cannot be read, and junk of every kind. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { changedKeys } from '../../../src/collector/config/canonical.ts';
import { loadConfigFile, parseConfig, validateConfigFile } from '../../../src/collector/config/load.ts';
import { FACTORIES } from '../factories.ts';

const CONFIG = `
receivers:
  ebpf_tcp: {settle_interval: 250ms, storage: file_storage/slots}
processors:
  identity:
exporters:
  prometheus:
  otlp_http/eu: &otlp {endpoint: "http://\${env:HOST}:4318/", headers: {x: 5}}
  otlp_http/us: {<<: *otlp, timeout: 1s}
extensions:
  file_storage/slots: {directory: /a}
  file_storage: {directory: /b}
service:
  extensions: [file_storage]
  telemetry: {logs: {level: debug}}
  pipelines:
    metrics: {receivers: [ebpf_tcp], processors: [identity], exporters: [prometheus, otlp_http/eu]}
    logs/audit: {receivers: [ebpf_tcp], processors: [identity], exporters: [otlp_http/us]}
`;

const parse = (text: string) => parseConfig(text, FACTORIES, { HOST: 'c' });
const right = (text: string) => {
  const { config, mistakes } = parse(text);
  expect(mistakes).toBeUndefined();
  return config!;
};

describe('a right configuration', () => {
  it('is typed, with defaults, references and pipelines', () => {
    const config = right(CONFIG);
    expect(config.logLevel).toBe('debug');
    expect(config.receivers[0]).toMatchObject({
      id: 'ebpf_tcp',
      config: { settle_interval: 250, max_pairs: 32768, access_log_buffer: 16 * 2 ** 20, loopback: true },
      references: ['file_storage/slots'],
    });
    expect(config.exporters.map(({ id }) => id)).toEqual(['prometheus', 'otlp_http/eu', 'otlp_http/us']);
    expect(config.exporters[0]!.config).toEqual({ endpoint: { host: 'localhost', port: 15020 } });
    expect(config.exporters[2]!.config).toMatchObject({
      endpoint: 'http://c:4318',
      headers: { x: '5' },
      timeout: 1000,
    });
    expect(config.pipelines).toEqual([
      {
        id: 'metrics',
        signal: 'metrics',
        receivers: ['ebpf_tcp'],
        processors: ['identity'],
        exporters: ['prometheus', 'otlp_http/eu'],
      },
      {
        id: 'logs/audit',
        signal: 'logs',
        receivers: ['ebpf_tcp'],
        processors: ['identity'],
        exporters: ['otlp_http/us'],
      },
    ]);
  });

  it('starts the listed extensions first, then those that are only referred to', () => {
    expect(right(CONFIG).extensions.map(({ id }) => id)).toEqual(['file_storage', 'file_storage/slots']);
  });

  it('is frozen, all through', () => {
    const config = right(CONFIG);
    for (const value of [
      config,
      config.receivers,
      config.receivers[0],
      config.receivers[0]!.config,
      config.pipelines[0]!.exporters,
    ]) {
      expect(Object.isFrozen(value)).toBe(true);
    }
    expect(Object.isFrozen(FACTORIES.receivers[0])).toBe(false);
  });

  it('has one canonical text however it is written', () => {
    const spelledOut = CONFIG.replace(
      'settle_interval: 250ms',
      'loopback: true, max_pairs: 0x8000, settle_interval: 0.25s',
    );
    expect(right(spelledOut).receivers[0]!.canonical).toBe(right(CONFIG).receivers[0]!.canonical);
    const changed = CONFIG.replace('250ms', '251ms');
    expect(right(changed).receivers[0]!.canonical).not.toBe(right(CONFIG).receivers[0]!.canonical);
    expect(changedKeys(right(CONFIG).receivers[0]!.config, right(changed).receivers[0]!.config)).toEqual([
      'settle_interval',
    ]);
  });

  it('may be JSON, have a byte order mark and Windows line ends', () => {
    const config = right(CONFIG);
    const json = JSON.stringify({
      receivers: { ebpf_tcp: null },
      processors: { identity: null },
      exporters: { prometheus: {} },
      service: {
        pipelines: { metrics: { receivers: ['ebpf_tcp'], processors: ['identity'], exporters: ['prometheus'] } },
      },
    });
    expect(right(json).pipelines).toHaveLength(1);
    expect(right(CONFIG.replaceAll('\n', '\r\n')).exporters).toEqual(config.exporters);
  });
});

describe('files', () => {
  let directory = '';
  const file = (name: string, contents?: string | Buffer) => {
    const path = join(directory, name);
    if (contents !== undefined) writeFileSync(path, contents);
    return path;
  };
  const validate = (path: string) => validateConfigFile(path, FACTORIES, { HOST: 'c' });

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'tcpledger-load-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('gives no lines when all is right', async () => {
    expect(await validate(file('right.yaml', `\ufeff${CONFIG}`))).toEqual([]);
    expect((await loadConfigFile(file('right.yaml'), FACTORIES, { HOST: 'c' })).config).toBeDefined();
  });

  it('names a file that is not there, a directory, an endless one and one of bytes', async () => {
    const missing = file('missing.yaml');
    expect(await validate(missing)).toEqual([
      `${missing}: the file cannot be read: it does not exist. Check the path, or write one: the package comes with otel-config.yaml as a start.`,
    ]);
    expect(await validate(directory)).toEqual([
      `${directory}: the file cannot be read: it is a directory. Name the file in it.`,
    ]);
    expect(await validate('/dev/zero')).toEqual([
      '/dev/zero: the file cannot be read: it is longer than 1 MiB, so not a configuration.',
    ]);
    const bytes = file('bytes.yaml', Buffer.from([0x61, 0x3a, 0x0a, 0x0a, 0xff, 0xfe]));
    expect(await validate(bytes)).toEqual([
      `${bytes}:3:1: the line holds bytes that are not UTF-8. Save the file as UTF-8.`,
    ]);
  });

  it.skipIf(process.getuid?.() === 0)('names a file that may not be read', async () => {
    const secret = file('secret.yaml', CONFIG);
    chmodSync(secret, 0);
    expect(await validate(secret)).toEqual([
      `${secret}: the file cannot be read: this user may not read it. Give it read permission.`,
    ]);
  });
});

describe('junk', () => {
  /** Never throws; gives a configuration or at least one mistake with a place and words. */
  const survives = (text: string) => {
    const { config, mistakes } = parse(text);
    if (config !== undefined) return;
    expect(mistakes.length).toBeGreaterThan(0);
    const lineCount = text.split(/\r\n|\r|\n/).length;
    for (const mistake of mistakes) {
      expect(mistake.message).not.toBe('');
      expect(mistake.line).toBeGreaterThanOrEqual(1);
      expect(mistake.line).toBeLessThanOrEqual(lineCount);
    }
    expect(mistakes).toEqual(mistakes.toSorted((a, b) => a.line - b.line || a.column - b.column));
  };

  it('any text', () => fc.assert(fc.property(fc.string({ unit: 'binary' }), survives), { numRuns: 500 }));

  it('text of YAML punctuation', () => {
    const piece = fc.constantFrom(
      'a',
      ': ',
      '- ',
      '\n',
      '  ',
      '{',
      '}',
      '[',
      ']',
      '&a ',
      '*a',
      '<<: ',
      '? ',
      '|',
      '>',
      '"',
      "'",
      '#',
      '!',
      '%',
      '---\n',
      '${',
      '}',
      '$',
      'service',
      'pipelines:',
      '\t',
      '\0',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => survives(pieces.join(''))),
      { numRuns: 1000 },
    );
  });

  it('a right configuration with a piece exchanged', () => {
    fc.assert(
      fc.property(fc.nat(CONFIG.length), fc.nat(30), fc.string({ maxLength: 10 }), (at, length, piece) =>
        survives(CONFIG.slice(0, at) + piece + CONFIG.slice(at + length)),
      ),
      { numRuns: 1000 },
    );
  });

  it('any tree under the known sections', () => {
    const key = fc.oneof(
      fc.constantFrom(
        'ebpf_tcp',
        'identity',
        'prometheus',
        'file_storage',
        'pipelines',
        'metrics',
        'receivers',
        'extensions',
        '__proto__',
        'hasOwnProperty',
      ),
      fc.string(),
    );
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.string(),
        fc.double(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(key, tie('tree'), { maxKeys: 4 }),
      ),
    }));
    const root = fc.dictionary(
      fc.constantFrom('receivers', 'processors', 'exporters', 'extensions', 'service', 'other'),
      tree,
    );
    fc.assert(
      fc.property(root, (value) => survives(stringify(value))),
      { numRuns: 500 },
    );
  });

  it('nesting that would exhaust the stack, and aliases that would exhaust memory', () => {
    survives('['.repeat(100_000));
    survives('{a: '.repeat(20_000));
    const bomb = [
      'a0: &a0 [x]',
      ...Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i}, `.repeat(9)}*a${i}]`),
    ];
    survives(bomb.join('\n'));
  });
});
