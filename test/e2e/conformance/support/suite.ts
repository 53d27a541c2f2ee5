/** What every file of conformance cases is wrapped in: the kernel, and istiod. */
import { test } from 'vitest';
import { describeOnKernel } from '../../../kernel/support/suite.ts';
import { istiodMissing } from '../../../peers/istiod.ts';

const missing = istiodMissing();

/** Skipped, with the reason, where the kernel can't be reached or istiod can't be had. */
export function describeConformance(theme: string, body: () => void): void {
  describeOnKernel(`conformance: ${theme}`, () => {
    if (missing === undefined) body();
    else test.skip(missing, () => undefined);
  });
}
