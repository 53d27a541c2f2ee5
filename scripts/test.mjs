/**
 * `npm test`: installs what is missing, builds what is out of date, runs the whole test suite. Arguments after `--` go
 * to vitest. `--prepare` installs and builds, and runs nothing.
 */
import { spawnSync } from 'node:child_process';
import { build, installNpmPackages, installSystemPackages, requireNode, say } from './lib/prepare.mjs';
import { inRoot, ROOT } from './lib/root.mjs';
import { BPF_BUILD_NEEDS, RUN_NEEDS, TEST_NEEDS } from './lib/system.mjs';

requireNode();
installSystemPackages([...RUN_NEEDS, ...BPF_BUILD_NEEDS, ...TEST_NEEDS], 'npm test');
installNpmPackages();
build();
if (process.argv.includes('--prepare')) process.exit();

const projects = [];
if (process.getuid() !== 0) {
  say('not root: tests on the real kernel are left out. For the whole suite run: sudo npm test');
  projects.push('--project', 'unit');
}
const { status } = spawnSync(
  process.execPath,
  [inRoot('node_modules/vitest/vitest.mjs'), 'run', ...projects, ...process.argv.slice(2)],
  // Debian keeps nft, ip and bpftool where an ordinary PATH does not look.
  { cwd: ROOT, stdio: 'inherit', env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } },
);
process.exitCode = status ?? 1;
