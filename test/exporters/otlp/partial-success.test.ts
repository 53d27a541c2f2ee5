import { describe, expect, it } from 'vitest';
import { partialSuccessOf } from '../../../src/exporters/otlp/partial-success.ts';
import { encode } from './support/protobuf.ts';

describe('partialSuccessOf', () => {
  it('takes an empty answer, and one without a word, as a success', async () => {
    for (const signal of ['logs', 'metrics'] as const) {
      expect(await partialSuccessOf(signal, Buffer.alloc(0))).toEqual({ rejected: 0, reason: '' });
      expect(await partialSuccessOf(signal, encode('ExportLogsServiceResponse', { partialSuccess: {} }))).toEqual({
        rejected: 0,
        reason: '',
      });
    }
  });

  it('reads how many were refused, and why', async () => {
    const answer = encode('ExportLogsServiceResponse', {
      partialSuccess: { rejectedLogRecords: 300, errorMessage: 'too old' },
    });
    for (const signal of ['logs', 'metrics'] as const) {
      expect(await partialSuccessOf(signal, answer)).toEqual({ rejected: 300, reason: 'too old' });
    }
  });

  it('says of garbage that it is no answer', async () => {
    const { rejected, reason } = await partialSuccessOf('logs', Buffer.from('<html>welcome</html>'));
    expect(rejected).toBe(0);
    expect(reason).toMatch(/no OTLP response/);
  });
});
