/** RFC 3339 UTC with microseconds, as ztunnel prints it. The text of a second is made once. */
export function createTimestamps(): (at: { seconds: number; nanos: number }) => string {
  let second = Number.NaN;
  let prefix = '';
  return ({ seconds, nanos }) => {
    if (seconds !== second) {
      second = seconds;
      prefix = new Date(seconds * 1000).toISOString().slice(0, 20);
    }
    // A leading 1 keeps the zeros: 1000042 → 000042. Truncated, not rounded, so that it never shows a second not yet begun.
    return `${prefix}${`${1_000_000 + Math.floor(nanos / 1000)}`.slice(1)}Z`;
  };
}
