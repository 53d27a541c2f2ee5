import { expect, it } from 'vitest';
import { metricsPage } from './metrics-table.ts';

it('docs/metrics.md is what the registry says (npm run docs writes it)', async () => {
  await expect(metricsPage()).toMatchFileSnapshot('../../docs/metrics.md');
});
