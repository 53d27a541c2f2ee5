/** One line of `tcpledger doctor`. */
export interface Finding {
  readonly feature: string;
  readonly ok: boolean;
  /** What was found. */
  readonly detail: string;
  /** What to do about it, when it is not ok. */
  readonly mend?: string;
  /** The agent runs without it, with less to tell. */
  readonly optional?: boolean;
}
