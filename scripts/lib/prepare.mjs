/**
 * Brings a fresh clone to where the agent or its tests can run: says what is missing and why, installs it (Debian and
 * its kin, as root), or prints the very commands to run. Does nothing, and needs no network, when all is there.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { npmPackagesMissing } from './npm-packages.mjs';
import { inRoot, ROOT } from './root.mjs';
import { findCommand, nodeTooOld, packageManager } from './system.mjs';

/** The kernel or the privileges do not allow it: the agent's own exit code for that. */
const EXIT_NOT_ALLOWED = 3;

const INSTALL = {
  apt: ['apt-get update', 'apt-get install -y --no-install-recommends'],
  dnf: ['dnf install -y'],
  apk: ['apk add'],
};

export const say = (message) => process.stderr.write(`tcpledger: ${message}\n`);

export function fail(message, exitCode = 1) {
  say(message);
  process.exit(exitCode);
}

export function requireNode() {
  const reason = nodeTooOld();
  if (reason) fail(`${reason}.\n  Debian 12's own is too old: see https://nodejs.org/en/download for a current one.`);
}

/**
 * Installs the system packages behind the needs that are not met. Exits with the commands to run where it may not (no
 * root) or does not know how (not Debian's apt-get).
 * @param {import('./system.mjs').Need[]} needs
 * @param {string} again the command that was asked for, to run again after the installation
 */
export function installSystemPackages(needs, again) {
  const missing = needs.filter((need) => !need.present());
  if (missing.length === 0) return;
  const manager = packageManager();
  for (const need of missing)
    say(`missing: ${need.name} (${need.why})${manager ? `, package ${need.packages[manager]}` : ''}`);
  if (manager === undefined) {
    const names = missing.map(
      (need) =>
        `${need.name} (Debian: ${need.packages.apt}, Fedora: ${need.packages.dnf}, Alpine: ${need.packages.apk})`,
    );
    fail(
      `no package manager that I know on this machine. Install by hand, then run ${again} again:\n  ${names.join('\n  ')}`,
    );
  }
  const names = [...new Set(missing.map((need) => need.packages[manager]))];
  const [last, ...before] = [...INSTALL[manager]].reverse();
  const commands = [...before.reverse(), `${last} ${names.join(' ')}`];
  if (manager !== 'apt' || process.getuid() !== 0) {
    const reason = manager === 'apt' ? 'not root, so nothing is installed' : 'only apt-get is run by itself';
    const list = [...commands, again].map((line) => `  sudo ${line}`).join('\n');
    fail(`${reason}. Run this:\n${list}`, EXIT_NOT_ALLOWED);
  }
  for (const command of commands) runOrFail(command.split(' '), { DEBIAN_FRONTEND: 'noninteractive' });
  for (const [name, service] of Object.entries(SERVICES)) if (names.includes(name)) stopService(service);
  const still = missing.filter((need) => !need.present());
  if (still.length > 0)
    fail(`installed ${names.join(', ')}, yet still missing: ${still.map((need) => need.name).join(', ')}`);
}

/** Servers that Debian's packages start, on ports of their own; the tests need only the programs. */
const SERVICES = { prometheus: 'prometheus.service', 'etcd-server': 'etcd.service' };

function stopService(service) {
  if (!existsSync('/run/systemd/system') || !findCommand('systemctl')) return;
  runOrFail(['systemctl', 'disable', '--now', service]);
}

/** Runs `npm ci` if node_modules is not what package-lock.json says. */
export function installNpmPackages() {
  const reason = npmPackagesMissing();
  if (reason === undefined) return;
  say(`installing npm packages: ${reason}`);
  const npm = process.env.npm_execpath;
  const command = npm?.endsWith('.js') ? [process.execPath, npm] : ['npm'];
  runOrFail([...command, 'ci', '--no-audit', '--no-fund']);
  const still = npmPackagesMissing();
  if (still) fail(`npm ci ended well, yet: ${still}`);
}

/** Builds what is out of date, in a process of its own: the build needs packages that were perhaps just installed. */
export function build() {
  const result = spawnSync(process.execPath, [inRoot('scripts/build.mjs')], { stdio: ['ignore', 2, 2] });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

/** Runs a command with this terminal, and ends this process as it ended if it failed. stdout stays free for the agent. */
export function runOrFail(command, env = {}) {
  say(`running: ${command.join(' ')}`);
  const result = spawnSync(command[0], command.slice(1), {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, ...env },
  });
  if (result.error) fail(`could not run ${command[0]}: ${result.error.message}`);
  if (result.signal) fail(`${command.join(' ')} was ended by ${result.signal}`);
  if (result.status !== 0) fail(`${command.join(' ')} failed with exit code ${result.status}; what it said is above`);
}
