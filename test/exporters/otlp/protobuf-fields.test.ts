import fc from 'fast-check';
import { expect, it } from 'vitest';
import { messages, readFields } from '../../../src/exporters/otlp/protobuf-fields.ts';
import { encode } from './support/protobuf.ts';

it('reads text, nested messages and varints', () => {
  const status = encode('Status', { code: 300, message: 'nö', details: [{ typeUrl: 'a' }, { typeUrl: 'b' }] });
  const fields = readFields(status);
  expect(fields[0]).toEqual({ number: 1, value: 300 });
  expect(messages(fields, 2).map(String)).toEqual(['nö']);
  expect(messages(fields, 3).map((any) => messages(readFields(any), 1).map(String))).toEqual([['a'], ['b']]);
});

it('passes over fixed-width fields', () => {
  const bytes = Buffer.from([0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4, 0x18, 7]);
  expect(readFields(bytes)).toEqual([{ number: 3, value: 7 }]);
});

it('ends on whatever bytes, and gives no bytes that are not there', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      for (const { value } of readFields(Buffer.from(bytes))) {
        if (Buffer.isBuffer(value)) expect(value.length).toBeLessThanOrEqual(bytes.length);
      }
    }),
  );
});
