/**
 * `npm start`: installs what is missing, builds what is out of date, runs the agent with otel-config.yaml. Arguments
 * after `--` go to `tcpledger run`.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { bpfIsUpToDate } from './lib/build-bpf.mjs';
import { build, fail, installNpmPackages, installSystemPackages, requireNode } from './lib/prepare.mjs';
import { inRoot } from './lib/root.mjs';
import { BPF_BUILD_NEEDS, RUN_NEEDS } from './lib/system.mjs';

requireNode();
installSystemPackages([...RUN_NEEDS, ...(bpfIsUpToDate() ? [] : BPF_BUILD_NEEDS)], 'npm start');
installNpmPackages();
build();

const agent = spawn(
  process.execPath,
  [inRoot('dist/tcpledger.cjs'), 'run', '--config', inRoot('otel-config.yaml'), ...process.argv.slice(2)],
  // The channel carries nothing: its end tells the agent that this process has gone, even by SIGKILL, and it stops.
  { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] },
);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => agent.kill(signal));
agent.on('error', (error) => fail(`could not start the agent: ${error.message}`));
agent.on('exit', (code, signal) => {
  process.exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal];
});
