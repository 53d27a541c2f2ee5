/**
 * Labels in the Prometheus text formats. A label set is rendered once, when its row is made, and copied as bytes into
 * every line from then on. Rendered bytes are also what makes two label sets the same: what would be one series on the
 * page must be one row of the table (two strings that differ in lone surrogates alone are the same bytes).
 */
import { Buffer } from 'node:buffer';

/** `{a="1",…` up to `split`, where a series puts its own text, and the rest up to the blank before the value. */
export interface LabelText {
  readonly bytes: Buffer;
  readonly split: number;
}

/** Backslash, double quote and line feed are escaped, in both formats; every other character stands for itself. */
export function escapeLabelValue(value: string): string {
  return /[\\"\n]/.test(value)
    ? value.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`))
    : value;
}

/** `values[i]` belongs to `names[i]`. With `splitAt` the value of that label is left out, and the split is in its place. */
export function renderLabels(names: readonly string[], values: readonly string[], splitAt?: string): LabelText {
  let head = '{';
  let tail = '';
  let open = true;
  names.forEach((name, i) => {
    const label = `${i === 0 ? '' : ','}${name}="`;
    if (name === splitAt) {
      head += label;
      open = false;
      tail = '"';
      return;
    }
    const text = `${label}${escapeLabelValue(values[i] ?? '')}"`;
    if (open) head += text;
    else tail += text;
  });
  const bytes = Buffer.from(`${head}${tail}} `, 'utf8');
  return { bytes, split: Buffer.byteLength(head, 'utf8') };
}

/** `,a="1",b="2"`: labels behind others. */
export function renderMoreLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `,${name}="${escapeLabelValue(value)}"`)
    .join('');
}
