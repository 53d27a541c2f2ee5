/** An encoded request on its way. */
export interface Batch {
  /** An Export…ServiceRequest. */
  readonly body: Buffer;
  /** Log records or metric points in it. */
  readonly items: number;
}
