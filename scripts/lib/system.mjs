/**
 * What the machine must have, and how to get it. Only Node's built-ins: this runs before any package is installed.
 *
 * @typedef {object} Need
 * @property {string} name what is looked for, in words
 * @property {string} why what it is needed for
 * @property {() => boolean} present
 * @property {{apt: string, dnf: string, apk: string}} packages the package that brings it, by package manager
 */

import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';

/** Oldest Node the agent runs on: package.json's `engines`. */
const OLDEST_NODE = [20, 6];

/** Directories that `ldconfig` reads by default on the distributions we know, multiarch included. */
const LIBRARY_DIRECTORIES = ['/lib', '/usr/lib', '/lib64', '/usr/lib64', '/usr/local/lib'];
const MULTIARCH = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu', riscv64: 'riscv64-linux-gnu' };

/** Multiarch directory name of this machine, as `x86_64-linux-gnu`; undefined where Debian has no such port. */
export const multiarch = MULTIARCH[process.arch];

/** Full path of the first of these commands that is on PATH or in a system directory (/usr/sbin is not on everyone's). */
export function findCommand(...names) {
  const directories = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  for (const name of names) {
    for (const directory of directories) {
      if (directory !== '' && isExecutable(join(directory, name))) return join(directory, name);
    }
  }
  return undefined;
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function hasLibrary(soname) {
  const directories = [...(process.env.LD_LIBRARY_PATH ?? '').split(':').filter(Boolean), ...LIBRARY_DIRECTORIES];
  if (multiarch) directories.push(`/lib/${multiarch}`, `/usr/lib/${multiarch}`);
  if (directories.some((directory) => existsSync(join(directory, soname)))) return true;
  const ldconfig = findCommand('ldconfig');
  return ldconfig !== undefined && (spawnSync(ldconfig, ['-p'], { encoding: 'utf8' }).stdout ?? '').includes(soname);
}

/** Debian's unversioned name first, then the versions that its releases carry beside it. */
export const findClang = () => findCommand('clang', ...[21, 20, 19, 18, 17, 16, 15, 14].map((v) => `clang-${v}`));
export const findStrip = () =>
  findCommand('llvm-strip', ...[21, 20, 19, 18, 17, 16, 15, 14].map((v) => `llvm-strip-${v}`));

const command = (name, why, packages) => ({ name, why, present: () => findCommand(name) !== undefined, packages });
const same = (name) => ({ apt: name, dnf: name, apk: name });

/** @type {Need[]} */
export const RUN_NEEDS = [
  {
    name: 'libbpf.so.1',
    why: 'loads the kernel half',
    present: () => hasLibrary('libbpf.so.1'),
    packages: { apt: 'libbpf1', dnf: 'libbpf', apk: 'libbpf' },
  },
];

/** @type {Need[]} */
export const BPF_BUILD_NEEDS = [
  { name: 'clang', why: 'compiles the kernel half', present: () => findClang() !== undefined, packages: same('clang') },
  {
    name: 'bpf/bpf_helpers.h',
    why: 'headers of the kernel half',
    present: () => existsSync('/usr/include/bpf/bpf_helpers.h'),
    packages: { apt: 'libbpf-dev', dnf: 'libbpf-devel', apk: 'libbpf-dev' },
  },
];

/** @type {Need[]} */
export const TEST_NEEDS = [
  command('ip', 'tests: network namespaces', { apt: 'iproute2', dnf: 'iproute', apk: 'iproute2' }),
  command('tc', 'tests: loss and delay', { apt: 'iproute2', dnf: 'iproute-tc', apk: 'iproute2-tc' }),
  command('nft', 'tests: dropped and rejected packets', same('nftables')),
  command('bpftool', 'tests: what is left in the kernel', same('bpftool')),
  command('iptables', 'tests: services by address translation', {
    apt: 'iptables',
    dnf: 'iptables-nft',
    apk: 'iptables',
  }),
  command('runc', 'tests: containers of pods', same('runc')),
  command('gcc', 'tests: socket programs written in C', same('gcc')),
  {
    name: 'sys/socket.h',
    why: 'tests: socket programs written in C',
    present: () => existsSync('/usr/include/sys/socket.h') || existsSync(`/usr/include/${multiarch}/sys/socket.h`),
    packages: { apt: 'libc6-dev', dnf: 'glibc-devel', apk: 'musl-dev' },
  },
  command('openssl', 'tests: certificates', same('openssl')),
  command('promtool', 'tests: the page, and a real Prometheus that scrapes it', {
    apt: 'prometheus',
    dnf: 'golang-github-prometheus',
    apk: 'prometheus',
  }),
  command('etcd', 'tests: a real Kubernetes API server', { apt: 'etcd-server', dnf: 'etcd', apk: 'etcd' }),
  command('setpriv', 'tests: an agent without privileges', same('util-linux')),
];

/** The package manager of this machine, undefined if it is none that we know. */
export function packageManager() {
  if (findCommand('apt-get')) return 'apt';
  if (findCommand('dnf')) return 'dnf';
  if (findCommand('apk')) return 'apk';
  return undefined;
}

/** Why this Node is too old, or undefined. */
export function nodeTooOld(version = process.versions.node) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const old = major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1]);
  return old
    ? `Node ${version} at ${process.execPath} is too old: tcpledger needs Node ${OLDEST_NODE.join('.')} or newer`
    : undefined;
}
