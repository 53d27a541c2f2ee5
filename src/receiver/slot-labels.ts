/** The labels of slots in arrays by slot number: each new pair asks for its slot's, and sets them. */
import type { LabelsEntry } from './slot-history.ts';

export class SlotLabels {
  /** Meant where there are labels. */
  readonly #generation: number[] = [];
  /** Made into text when somebody needs it. */
  readonly #labels: unknown[] = [];
  readonly #textOf: (((labels: unknown) => string) | undefined)[] = [];

  set<Labels>(slot: number, generation: number, labels: Labels, textOf: (labels: Labels) => string): void {
    while (this.#labels.length <= slot) {
      this.#generation.push(0);
      this.#labels.push(undefined);
      this.#textOf.push(undefined);
    }
    this.#generation[slot] = generation;
    this.#labels[slot] = labels;
    this.#textOf[slot] = textOf as (labels: unknown) => string;
  }

  /** undefined if the slot has none, or another generation's. */
  get(slot: number, generation: number): string | undefined {
    return this.#generation[slot] === generation ? this.#textOf[slot]?.(this.#labels[slot]) : undefined;
  }

  /** Those of a slot that has some, to be written. */
  entry(slot: number): LabelsEntry {
    const labels = this.#textOf[slot]!(this.#labels[slot]);
    return { kind: 'labels', slot, generation: this.#generation[slot]!, labels };
  }
}
