import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { configDefaults, defineConfig } from 'vitest/config';
import { defines } from './scripts/lib/defines.mjs';

/** Tests that load BPF programs, use network namespaces or start the agent: they share one node, so one file at a time. */
const KERNEL = ['test/kernel/**/*.test.ts', 'test/e2e/**/*.test.ts', 'test/**/*.kernel.test.ts'];

export default defineConfig({
  define: defines(JSON.stringify(resolve('dist'))),
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...KERNEL],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          // these wait for timers and answers as much as they compute: by default one CPU is kept free
          maxWorkers: availableParallelism() + 1,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'kernel',
          include: KERNEL,
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 600_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
