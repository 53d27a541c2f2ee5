/**
 * Totals of the whole node (telemetry.md §4): the audit line. They are summed straight from the batches, so they depend
 * on no label, no name and no expiry.
 */
import type { Peers } from '../identity/types.ts';
import { counterColumn, type PairCounter } from '../semconv/pair-fields.ts';
import { AGENT_METRICS, NODE_METRICS } from '../semconv/registry.ts';
import type { Family } from './family.ts';

const FIELDS = ['opened', 'closed', 'failed', 'adopted', 'sent', 'received'] as const satisfies readonly PairCounter[];
const COLUMNS = FIELDS.map(counterColumn);
const ACTIVE = counterColumn('active');

const DEFINITIONS = {
  opened: AGENT_METRICS.connectionsOpened,
  closed: AGENT_METRICS.connectionsClosed,
  failed: AGENT_METRICS.connectionsFailed,
  adopted: AGENT_METRICS.connectionsAdopted,
  sent: AGENT_METRICS.bytesSent,
  received: AGENT_METRICS.bytesReceived,
} as const;

export class NodeTotals {
  readonly #totals = new Float64Array(FIELDS.length);
  readonly #open = { source: 0, destination: 0 };

  /** Adds the differences of one batch row, which starts at `offset` of `batch`. The hot path. */
  add(role: Peers['reporter'], batch: Float64Array, offset: number): void {
    this.addPast(batch, offset);
    this.#open[role] += batch[offset + ACTIVE]!;
  }

  /** The same of connections that are all closed, whichever end they had here. */
  addPast(values: Float64Array, offset = 0): void {
    for (let i = 0; i < COLUMNS.length; i++) this.#totals[i]! += values[offset + COLUMNS[i]!]!;
  }

  families(): Family[] {
    return [
      {
        definition: NODE_METRICS.socketsOpen,
        points: [
          { labels: { reporter: 'source' }, value: this.#open.source },
          { labels: { reporter: 'destination' }, value: this.#open.destination },
        ],
      },
      ...FIELDS.map((field, i) => ({
        definition: DEFINITIONS[field],
        points: [{ labels: {}, value: this.#totals[i]! }],
      })),
    ];
  }
}
