/** The table of scenarios: every kind of connection that the ledger has to get right. */
import { ENDINGS } from './scenarios/endings.ts';
import { FAILURES } from './scenarios/failures.ts';
import { QUEUES } from './scenarios/queues.ts';
import type { Scenario } from './scenarios/scenario.ts';
import { TIMEOUTS } from './scenarios/timeouts.ts';
import { TRANSFERS } from './scenarios/transfers.ts';
import { UNUSUAL } from './scenarios/unusual.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...ENDINGS,
  ...FAILURES,
  ...TIMEOUTS,
  ...QUEUES,
  ...TRANSFERS,
  ...UNUSUAL,
];
