/** What the benchmarks share: medians, and the table that they end with. */
import { cpus, release } from 'node:os';

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** One line: what was measured, against what must hold. */
export interface Figure {
  readonly name: string;
  readonly measured: number;
  readonly unit: string;
  readonly atMost?: number;
  readonly atLeast?: number;
  /** The reference of the same run, or the spread: whatever makes the number readable. */
  readonly note?: string;
}

/** Prints the table; the exit code is 1 if a figure does not hold. */
export function tell(figures: readonly Figure[]): void {
  console.log(`Linux ${release()}, Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}`);
  for (const { name, measured, unit, atMost, atLeast, note } of figures) {
    const holds = measured <= (atMost ?? Number.POSITIVE_INFINITY) && measured >= (atLeast ?? Number.NEGATIVE_INFINITY);
    const limit = atMost !== undefined ? `≤ ${atMost}` : atLeast !== undefined ? `≥ ${atLeast}` : '';
    console.log(
      `${limit === '' ? '     ' : holds ? 'ok   ' : 'MISS '} ${name}: ${measured.toPrecision(3)} ${unit}${limit && ` (${limit})`}${note ? `  ${note}` : ''}`,
    );
    if (!holds) process.exitCode = 1;
  }
}
