/**
 * Runs benchmarks: `node bench/run.mjs` all of them, `node bench/run.mjs settle sweep` these. Each is bundled and run in
 * a process of its own; needs root, a built agent (npm run build) and a quiet machine.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { defines } from '../scripts/lib/defines.mjs';
import { inRoot } from '../scripts/lib/root.mjs';

const root = inRoot('.');
const all = readdirSync(join(root, 'bench'))
  .filter((name) => name.endsWith('.ts'))
  .map((name) => name.slice(0, -3));
const wanted = process.argv.length > 2 ? process.argv.slice(2) : all;
let failed = 0;
for (const name of wanted) {
  const outfile = join(root, 'node_modules', '.cache', 'tcpledger-bench', `${name}.mjs`);
  buildSync({
    entryPoints: [join(root, 'bench', `${name}.ts`)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'warning',
    define: defines(JSON.stringify(inRoot('dist'))),
  });
  console.log(`\n── ${name}`);
  const { status } = spawnSync(process.execPath, [outfile], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, TCPLEDGER_PROJECT: root },
  });
  if (status !== 0) failed++;
}
process.exitCode = failed > 0 ? 1 : 0;
