import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { LogEncoder } from '../../../src/exporters/otlp/log-encoder.ts';
import { isGzip, packAs } from '../../../src/exporters/otlp-http/packing.ts';
import { peers, record, source } from '../otlp/support/records.ts';

/** Each record with a service of its own, so that a thousand take more than one chunk of the compressor. */
function request(records: number): Buffer {
  const encoder = new LogEncoder({ 'service.name': 'tcpledger' }, '1');
  for (let i = 0; i < records; i++) {
    const ends = peers({ service: { hostname: `${Math.sin(i)}`.repeat(20), name: 'server', namespace: 'shop' } });
    encoder.add(record({ connectionId: i }), ends, source, 0);
  }
  return encoder.take();
}

describe('packAs', () => {
  it.each([1, 1000])('gzip unpacks to the same %i records, and is told from a plain request', (records) => {
    const plain = request(records);
    const packed = packAs('gzip')(plain);
    expect(isGzip(packed)).toBe(true);
    expect(gunzipSync(packed).equals(plain)).toBe(true);
    expect(isGzip(plain)).toBe(false);
  });

  it.each(['gzip', 'none'] as const)('%s keeps nothing of the memory it was given', (compression) => {
    const plain = request(3);
    const copy = Buffer.from(plain);
    const packed = packAs(compression)(plain);
    plain.fill(0xff);
    expect((compression === 'gzip' ? gunzipSync(packed) : packed).equals(copy)).toBe(true);
  });
});
