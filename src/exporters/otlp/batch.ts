/** An encoded request on its way. */
export interface Batch {
  /** An Export…ServiceRequest; from the queue on as its transport packs it. */
  readonly body: Buffer;
  /** Log records or metric points in it. */
  readonly items: number;
}
