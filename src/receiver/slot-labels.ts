/** The labels of slots in arrays by slot number: each new pair asks for its slot's, and sets them. */
import type { LabelsEntry } from './slot-history.ts';

export class SlotLabels {
  /** Meant where there are labels. */
  readonly #generation: number[] = [];
  /** Made into text when somebody needs it. */
  readonly #labels: ((() => string) | undefined)[] = [];

  set(slot: number, generation: number, labels: () => string): void {
    while (this.#labels.length <= slot) {
      this.#labels.push(undefined);
      this.#generation.push(0);
    }
    this.#generation[slot] = generation;
    this.#labels[slot] = labels;
  }

  /** undefined if the slot has none, or another generation's. */
  get(slot: number, generation: number): string | undefined {
    return this.#generation[slot] === generation ? this.#labels[slot]?.() : undefined;
  }

  /** Those of a slot that has some, to be written. */
  entry(slot: number): LabelsEntry {
    return { kind: 'labels', slot, generation: this.#generation[slot]!, labels: this.#labels[slot]!() };
  }
}
