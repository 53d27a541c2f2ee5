/**
 * How long a peer asks to wait: google.rpc.RetryInfo among the details of the google.rpc.Status that gRPC sends in the
 * trailer `grpc-status-details-bin`.
 */
import type { Metadata } from '@grpc/grpc-js';
import { type Field, messages, readFields } from '../otlp/protobuf-fields.ts';

const TRAILER = 'grpc-status-details-bin';
const RETRY_INFO = 'google.rpc.RetryInfo';

/** Milliseconds; undefined when the peer does not say, or in a way that cannot be read. */
export function retryInfoMs(trailers: Metadata): number | undefined {
  const [details] = trailers.get(TRAILER);
  return Buffer.isBuffer(details) ? retryDelayMs(details) : undefined;
}

/** Status { details = 3 { Any { type_url = 1; value = 2 { RetryInfo { retry_delay = 1 { Duration } } } } } } */
function retryDelayMs(status: Buffer): number | undefined {
  for (const any of messages(readFields(status), 3)) {
    const fields = readFields(any);
    const [typeUrl] = messages(fields, 1);
    const [retryInfo] = messages(fields, 2);
    if (retryInfo === undefined || !typeUrl?.toString('utf8').endsWith(`/${RETRY_INFO}`)) continue;
    const [delay] = messages(readFields(retryInfo), 1);
    return delay === undefined ? undefined : durationMs(readFields(delay));
  }
  return undefined;
}

/** Duration { seconds = 1; nanos = 2 }. A negative one asks for nothing. */
function durationMs(duration: readonly Field[]): number | undefined {
  const varint = (number: number): number => {
    const field = duration.find((candidate) => candidate.number === number);
    return typeof field?.value === 'number' ? field.value : 0;
  };
  const ms = varint(1) * 1000 + varint(2) / 1e6;
  return ms < Number.MAX_SAFE_INTEGER ? ms : undefined;
}
