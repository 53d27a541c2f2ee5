/** One attempt to deliver one encoded request. Both transports end here; queue, retry and counting lie above. */

export type SendResult =
  /** `response`: the body of the answer, an Export…ServiceResponse if the peer keeps to the protocol. */
  | { readonly kind: 'delivered'; readonly response: Uint8Array }
  /** May succeed later. `afterMs`: how long the peer asked to wait. */
  | { readonly kind: 'retry'; readonly reason: string; readonly afterMs?: number }
  /** Will never succeed as it is. */
  | { readonly kind: 'rejected'; readonly reason: string };

/**
 * Makes of a request what its transport sends, in memory of its own. Done once, before the request waits: compressed it
 * is a twentieth in memory and in storage, and another attempt costs no more work.
 */
export type Pack = (request: Buffer) => Buffer;

export interface Sender {
  /** Where it sends, for messages. */
  readonly target: string;
  /**
   * Resolves within the configured timeout, and soon after `abort` (then with `retry`). Never rejects. `body` is
   * packed, stays the caller's and is not changed.
   */
  send(body: Buffer, abort: AbortSignal): Promise<SendResult>;
  /** Frees connections. Nothing may be in flight. */
  close(): void;
}
