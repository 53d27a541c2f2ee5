/**
 * Builds `dist/`: tcpledger.cjs (the agent), index.cjs and types/ (the library), tcpledger.bpf.o (the kernel half).
 * A step whose inputs have not changed is skipped. `--bpf` builds the kernel half alone, which needs no npm packages.
 */
import { BPF_OUTPUT, bpfIsUpToDate, buildBpf } from './lib/build-bpf.mjs';
import { npmPackagesMissing } from './lib/npm-packages.mjs';
import { fail, requireNode } from './lib/prepare.mjs';
import { BPF_BUILD_NEEDS, packageManager } from './lib/system.mjs';

requireNode();

if (!bpfIsUpToDate()) {
  for (const need of BPF_BUILD_NEEDS) {
    if (need.present()) continue;
    const manager = packageManager() ?? 'apt';
    fail(
      `cannot build ${BPF_OUTPUT}: ${need.name} is missing (${need.why}). Install the package ${need.packages[manager]}`,
    );
  }
  buildBpf();
}

if (!process.argv.includes('--bpf')) {
  const missing = npmPackagesMissing();
  if (missing) fail(`cannot build: ${missing}. Run npm ci first`);
  const { buildJavaScript } = await import('./lib/build-javascript.mjs');
  await buildJavaScript();
}
