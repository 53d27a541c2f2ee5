/**
 * A record as one line. What differs between the formats is how a field is spelt and what stands around the fields;
 * which fields there are, and their order, comes from semconv/log-record.ts. The parts that belong to a pair are
 * rendered once per Peers object.
 */
import type { Peers } from '../../identity/types.ts';
import type { ConnectionRecord, PairSource } from '../../receiver/types.ts';
import {
  clientAddress,
  destinationFields,
  type FieldSink,
  type LogConnection,
  outcomeFields,
  serverAddress,
  sourceFields,
} from '../../semconv/log-record.ts';

/** The record's line, newline included and none inside. */
export type LineFormat = (record: ConnectionRecord, peers: Peers, source: PairSource) => string;

/** Collects fields as text, each in the format's spelling. */
export interface FieldText extends FieldSink {
  /** What came since the last call. */
  take(): string;
  /** One `*.addr` field, at once. Its value is an address's canonical text, which needs no escaping. */
  address(name: string, value: string): string;
}

interface PairText {
  readonly source: string;
  readonly destination: string;
}

/** Every field of a record, each rendered by `text`. */
export function createFieldRenderer(text: FieldText): (record: LogConnection, peers: Peers) => string {
  const pairs = new WeakMap<Peers, PairText>();

  const pairText = (peers: Peers): PairText => {
    let pair = pairs.get(peers);
    if (pair === undefined) {
      sourceFields(peers, text);
      const source = text.take();
      destinationFields(peers, text);
      pair = { source, destination: text.take() };
      pairs.set(peers, pair);
    }
    return pair;
  };

  const address = (name: string, value: string | undefined): string =>
    value === undefined || value === '' ? '' : text.address(name, value);

  return (record, peers) => {
    const pair = pairText(peers);
    const src = address('src.addr', clientAddress(record));
    const dst = address('dst.addr', serverAddress(record)) + address('dst.hbone_addr', record.hboneAddress);
    outcomeFields(record, text);
    return src + pair.source + dst + pair.destination + text.take();
  };
}
