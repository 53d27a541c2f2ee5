/** The page, and what a scraper makes of it. */
import { Buffer } from 'node:buffer';
import { pageChunks } from '../../../src/exporters/prometheus/page.ts';
import { PageBuffer } from '../../../src/exporters/prometheus/page-buffer.ts';
import type { Format } from '../../../src/exporters/prometheus/text-format.ts';
import type { SeriesTable } from '../../../src/exporters/series-table.ts';

/** The pairs' part of the page, and `rest` behind it. `chunk`: bytes of the buffer. */
export function pageBytes(table: SeriesTable, rest = '', format: Format = 'text', chunk = 4096): Buffer {
  const chunks: Buffer[] = [];
  // A chunk is valid until the next: copied.
  for (const bytes of pageChunks(table.snapshot(), rest, format, new PageBuffer(chunk)))
    chunks.push(Buffer.from(bytes));
  return Buffer.concat(chunks);
}

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Samples of a page in either format, in order. Throws on a line that neither format allows. */
export function samples(page: string): Sample[] {
  return page
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/s.exec(line);
      if (match === null) throw new Error(`No sample: ${line}`);
      const [, name, labels, value] = match;
      return { name: name!, labels: labelsOf(labels ?? ''), value: Number(value!.replace('Inf', 'Infinity')) };
    });
}

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  const label = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/gy;
  while (label.lastIndex < text.length) {
    const match = label.exec(text);
    if (match === null) throw new Error(`No labels: ${text}`);
    const value = match[2]!.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
    if (match[1]! in labels) throw new Error(`Label ${match[1]} twice: ${text}`);
    labels[match[1]!] = value;
  }
  return labels;
}

/** The only sample of that name whose labels include `where`; fails if there is none or more than one. */
export function sample(page: string, name: string, where: Readonly<Record<string, string>> = {}): number {
  const found = samples(page).filter(
    (s) => s.name === name && Object.entries(where).every(([label, value]) => s.labels[label] === value),
  );
  if (found.length !== 1) throw new Error(`${found.length} samples ${name}${JSON.stringify(where)} in\n${page}`);
  return found[0]!.value;
}
