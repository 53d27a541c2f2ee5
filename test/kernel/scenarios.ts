/** The table of scenarios: every kind of connection that the ledger has to get right. */
import { ENDINGS } from './scenarios/endings.ts';
import { FAILURES } from './scenarios/failures.ts';
import { PROCESSES } from './scenarios/processes.ts';
import { QUEUES } from './scenarios/queues.ts';
import { RESETS } from './scenarios/resets.ts';
import { REUSE } from './scenarios/reuse.ts';
import type { Scenario } from './scenarios/scenario.ts';
import { TIMEOUTS } from './scenarios/timeouts.ts';
import { TRANSFERS } from './scenarios/transfers.ts';
import { UNUSUAL } from './scenarios/unusual.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...ENDINGS,
  ...RESETS,
  ...FAILURES,
  ...TIMEOUTS,
  ...QUEUES,
  ...TRANSFERS,
  ...REUSE,
  ...PROCESSES,
  ...UNUSUAL,
];
