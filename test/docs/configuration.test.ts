import { expect, it } from 'vitest';
import { configurationPage } from './configuration-page.ts';

it('docs/configuration.md is what the schemas say (npm run docs writes it)', async () => {
  await expect(configurationPage()).toMatchFileSnapshot('../../docs/configuration.md');
});
