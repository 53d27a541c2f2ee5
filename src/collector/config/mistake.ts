/** Configuration mistakes: collected while everything is looked at, told together in the order of the file. */
import type { LineCounter, Node } from 'yaml';
import { isReported } from '../schema/nodes.ts';

export interface Mistake {
  /** 1-based; 0 when it is about the file as a whole. */
  readonly line: number;
  readonly column: number;
  /** `exporters.otlp_http/eu.timeout`; '' when it is about the file or its YAML. */
  readonly path: string;
  readonly message: string;
}

/** `FILE:LINE:COLUMN: PATH: MESSAGE`, leaving out what there is not. */
export function formatMistake(file: string, mistake: Mistake): string {
  const place = mistake.line === 0 ? file : `${file}:${mistake.line}:${mistake.column}`;
  return [place, mistake.path, mistake.message].filter((part) => part !== '').join(': ');
}

/** Collects mistakes; positions are offsets into the text whose lines `lines` counted. */
export class Mistakes {
  readonly #lines: LineCounter;
  readonly #found: Mistake[] = [];

  constructor(lines: LineCounter) {
    this.#lines = lines;
  }

  /** Usable as a schema's `Report`. */
  readonly at = (path: string, place: Node | number | undefined, message: string): void => {
    if (typeof place === 'object' && isReported(place)) return;
    const offset = typeof place === 'number' ? place : (place?.range?.[0] ?? 0);
    const { line, col } = this.#lines.linePos(offset);
    // An empty file has no lines to count.
    this.#found.push({ line: Math.max(1, line), column: Math.max(1, col), path, message });
  };

  get count(): number {
    return this.#found.length;
  }

  sorted(): Mistake[] {
    return this.#found.toSorted((a, b) => a.line - b.line || a.column - b.column);
  }
}
