/** What a NACK says: google.rpc.Status { code = 1, message = 2 }, for the field `error_detail` of a request. */
import { ProtobufWriter } from './protobuf-writer.ts';

export interface RejectedResource {
  readonly name: string;
  readonly reason: string;
}

const INVALID_ARGUMENT = 3;

/** Names told with their reasons; more are counted. */
const TOLD = 50;

export function rejectionText(rejected: readonly RejectedResource[]): string {
  const told = rejected.slice(0, TOLD).map(({ name, reason }) => `${name}: ${reason}`);
  const more = rejected.length > TOLD ? [`and ${rejected.length - TOLD} more`] : [];
  return [...told, ...more].join('; ');
}

export const encodeErrorDetail = (message: string): Buffer =>
  new ProtobufWriter().number(1, INVALID_ARGUMENT).text(2, message).finish();
