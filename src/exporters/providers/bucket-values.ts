/**
 * The kernel counts a histogram's buckets and its sum; an OpenTelemetry histogram takes one value at a time. So values
 * are made up that fall into the same buckets and add up to the same sum: the buckets are exact, the sum is to the
 * rounding of doubles. What is lost are the values themselves (the instrument's min and max mean nothing).
 */

/** Of a bucket's width: the least and, where the bucket without an upper bound is to take its share, the usual place. */
const LEAST = 1e-6;
const MIDDLE = 0.5;

export interface Buckets {
  /** Upper bounds, ascending, inclusive; behind them comes the bucket without one. */
  readonly bounds: readonly number[];
  /** `counts[at + i]` values are in bucket i, of bounds.length + 1. */
  readonly counts: Float64Array;
  readonly at: number;
}

/**
 * Calls `record` once per counted value. Returns what of `sum` (in the bounds' unit) is left: nothing but rounding,
 * unless no values with these counts can have this sum (a count was read before its share of the sum was).
 */
export function recordBuckets({ bounds, counts, at }: Buckets, sum: number, record: (value: number) => void): number {
  const { place, unbounded } = places(bounds, counts, at, sum);
  let left = sum;
  let previous: { value: number; low: number; high: number } | undefined;
  for (let i = 0; i <= bounds.length; i++) {
    const low = i === 0 ? 0 : bounds[i - 1]!;
    const high = bounds[i] ?? Number.POSITIVE_INFINITY;
    const value = high === Number.POSITIVE_INFINITY ? unbounded : low + (high - low) * place;
    for (let n = counts[at + i]!; n > 0; n--) {
      if (previous !== undefined) {
        record(previous.value);
        left -= previous.value;
      }
      previous = { value, low, high };
    }
  }
  if (previous === undefined) return left;
  // The last value takes up the rounding of the others, if it may without leaving its bucket.
  const last = left > previous.low && left <= previous.high ? left : previous.value;
  record(last);
  return left - last;
}

/** Where in a bucket its values are put, as a share of its width, and the value in the bucket without an upper bound. */
function places(bounds: readonly number[], counts: Float64Array, at: number, sum: number) {
  let lowest = 0;
  let width = 0;
  for (let i = 0; i < bounds.length; i++) {
    const low = i === 0 ? 0 : bounds[i - 1]!;
    lowest += counts[at + i]! * low;
    width += counts[at + i]! * (bounds[i]! - low);
  }
  const beyond = counts[at + bounds.length]!;
  const last = bounds.at(-1) ?? 0;
  const spare = sum - lowest - beyond * last;
  const most = beyond > 0 ? Math.min(MIDDLE, spare / 2 / width) : spare / width;
  const place = width === 0 ? MIDDLE : Math.min(1, Math.max(LEAST, most));
  const unbounded = beyond === 0 ? last : last + Math.max(last * LEAST, (spare - width * place) / beyond);
  return { place, unbounded };
}
