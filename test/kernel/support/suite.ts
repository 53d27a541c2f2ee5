/** What every file of the kernel test-suite is wrapped in. */
import { afterAll, beforeAll, describe, test } from 'vitest';
import { machineLock } from './machine-lock.ts';

const NOT_ROOT =
  process.getuid?.() === 0 ? undefined : 'needs root: BPF programs are loaded and network namespaces are made';

/** A group of tests that has the machine to itself. Skipped, with the reason, where the kernel can't be reached. */
export function describeOnKernel(name: string, body: () => void): void {
  describe(name, () => {
    if (NOT_ROOT !== undefined) {
      test.skip(NOT_ROOT, () => undefined);
      return;
    }
    let release: (() => Promise<void>) | undefined;
    beforeAll(async () => {
      release = await machineLock();
    }, 3_600_000);
    // hooks run in reverse order: the lock is given back last
    afterAll(async () => {
      await release?.();
    });
    body();
  });
}
