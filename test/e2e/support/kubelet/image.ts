/**
 * What docker/Dockerfile makes, without docker: its last stage is followed instruction by instruction. What it takes from
 * other images comes from this machine, and of those the agent gets only what is named here: what the image would lack
 * is missing here too.
 */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { undoLater } from '../../../kernel/support/cleanup.ts';
import { runSync } from '../../../kernel/support/command.ts';

const PROJECT = join(import.meta.dirname, '../../../..');

export interface Image {
  /** A directory: the root of its file system. */
  readonly rootfs: string;
  readonly entrypoint: readonly string[];
  readonly workingDirectory: string;
  remove(): void;
}

/** Of debian:bookworm-slim what the agent's first line asks for, how names are looked up, and what is mounted over. */
const BASE = {
  programs: ['/usr/bin/env'],
  files: { 'etc/nsswitch.conf': 'hosts: files dns\n' },
  directories: ['dev', 'etc', 'proc', 'run', 'sys', 'tmp', 'var/lib'],
};

/** Of each package what may be asked for. */
const PACKAGES: Readonly<Record<string, (rootfs: string) => void>> = {
  libbpf1: (rootfs) => copyWithLibraries(rootfs, libraryPath('libbpf.so.1')),
};

/** @throws Error at an instruction that is not understood. */
export function buildImage(): Image {
  const rootfs = mkdtempSync(join(tmpdir(), 'tcpledger-image-'));
  const remove = undoLater(() => rmSync(rootfs, { recursive: true }));
  for (const directory of BASE.directories) mkdirSync(join(rootfs, directory), { recursive: true });
  for (const [path, text] of Object.entries(BASE.files)) writeFileSync(join(rootfs, path), text);
  for (const program of BASE.programs) copyWithLibraries(rootfs, program);
  let workingDirectory = '/';
  let entrypoint: string[] = [];
  for (const [instruction, rest] of lastStage()) {
    if (instruction === 'RUN') runCommands(rootfs, rest);
    else if (instruction === 'COPY') copy(rootfs, workingDirectory, rest.split(' '));
    else if (instruction === 'WORKDIR') workingDirectory = rest;
    else if (instruction === 'ENTRYPOINT') entrypoint = JSON.parse(rest) as string[];
    else if (!['FROM', 'EXPOSE', 'CMD'].includes(instruction)) {
      throw new Error(`docker/Dockerfile: what to do at ${instruction} ${rest} is not told here`);
    }
  }
  // mkdtemp's own mode lets nobody else in
  chmodSync(rootfs, 0o755);
  return { rootfs, entrypoint, workingDirectory, remove };
}

function lastStage(): [string, string][] {
  const text = readFileSync(join(PROJECT, 'docker/Dockerfile'), 'utf8').replaceAll(/^#.*\n/gm, '');
  const lines = text.replaceAll(/\\\n\s*/g, '').split('\n');
  const instructions = lines.flatMap((line): [string, string][] => {
    const [, instruction, rest] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    return instruction === undefined ? [] : [[instruction, rest!]];
  });
  return instructions.slice(instructions.findLastIndex(([instruction]) => instruction === 'FROM'));
}

function runCommands(rootfs: string, line: string): void {
  for (const command of line.split('&&').map((part) => part.trim())) {
    const words = command.split(/\s+/);
    if (command === 'apt-get update' || words[0] === 'rm') continue;
    if (command.startsWith('apt-get install ')) {
      for (const name of words.slice(2).filter((word) => !word.startsWith('-'))) {
        const install = PACKAGES[name];
        if (install === undefined) throw new Error(`docker/Dockerfile: what the package ${name} has is not told here`);
        install(rootfs);
      }
    } else if (command.startsWith('ln -s ')) {
      const [target, path] = words.slice(2);
      mkdirSync(join(rootfs, dirname(path!)), { recursive: true });
      symlinkSync(target!, join(rootfs, path!));
    } else {
      throw new Error(`docker/Dockerfile: what "${command}" does is not told here`);
    }
  }
}

function copy(rootfs: string, workingDirectory: string, words: readonly string[]): void {
  const [source, destination] = words.slice(-2) as [string, string];
  const target = join(rootfs, resolve(workingDirectory, destination));
  const file = destination.endsWith('/') ? join(target, basename(source)) : target;
  const from = words.length > 2 ? words[0]!.replace('--from=', '') : undefined;
  if (from?.startsWith('node:')) {
    if (basename(source) !== 'node') throw new Error(`docker/Dockerfile: of ${from} only node is here, not ${source}`);
    copyWithLibraries(rootfs, process.execPath, file);
  } else if (from === undefined) {
    if (!ignoreFile().includes(`!${source}`)) throw new Error(`docker/Dockerfile: .dockerignore leaves out ${source}`);
    copyTree(join(PROJECT, source), file);
  } else if (source === '/src/node_modules') {
    for (const path of productionPackages()) copyTree(join(PROJECT, path), join(target, '..', path));
  } else {
    copyTree(join(PROJECT, source.replace(/^\/src\//, '')), file);
  }
}

const ignoreFile = (): string[] => readFileSync(join(PROJECT, '.dockerignore'), 'utf8').split('\n');

/** Those that `npm prune --omit=dev` leaves: of optional ones npm has laid only what suits this machine. */
function productionPackages(): string[] {
  const lock = JSON.parse(readFileSync(join(PROJECT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  const paths = Object.entries(lock.packages).flatMap(([path, { dev, devOptional }]) =>
    path === '' || dev || devOptional ? [] : [path],
  );
  return paths.filter((path) => existsSync(join(PROJECT, path)));
}

function copyTree(source: string, target: string): void {
  mkdirSync(dirname(target), { recursive: true });
  cpSync(source, target, { recursive: true, dereference: statSync(source).isFile() });
}

/** With all that the dynamic linker loads with it, at the paths that it has here. */
function copyWithLibraries(rootfs: string, path: string, target = join(rootfs, path)): void {
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(path, target);
  for (const [library] of runSync('ldd', [path]).matchAll(/\/\S+/g)) {
    const place = join(rootfs, library);
    if (existsSync(place)) continue;
    mkdirSync(dirname(place), { recursive: true });
    copyFileSync(library, place);
  }
}

function libraryPath(name: string): string {
  const [, path] = new RegExp(`${name} .* => (/\\S+)`).exec(runSync('ldconfig', ['-p'])) ?? [];
  if (path === undefined) throw new Error(`${name} is not on this machine (ldconfig -p)`);
  return path;
}
