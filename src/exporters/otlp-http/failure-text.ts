/** What a peer says about a request it did not take, for the log. */
import { STATUS_CODES } from 'node:http';
import { messages, readFields } from '../otlp/protobuf-fields.ts';

const LONGEST = 300;

/** `HTTP 400 Bad Request: <what the body says>`, and for a redirect what to do about it. */
export function failureText(status: number, contentType: string, body: Buffer): string {
  const said = contentType.startsWith('application/x-protobuf') ? statusMessage(body) : body.toString('utf8');
  const words = printable(said);
  const hint = status >= 300 && status <= 399 ? ' (redirects are not followed: name the final URL as endpoint)' : '';
  return `HTTP ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd() + (words === '' ? '' : `: ${words}`) + hint;
}

/** google.rpc.Status { code = 1; message = 2 }: the body of OTLP's failures. */
function statusMessage(body: Buffer): string {
  return messages(readFields(body), 2)[0]?.toString('utf8') ?? '';
}

/** One line, without control characters: it goes to a terminal. */
function printable(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
}
