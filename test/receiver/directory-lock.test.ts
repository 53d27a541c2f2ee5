import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lockDirectory, ownerOf } from '../../src/receiver/directory-lock.ts';

let directory: string;
let holder: ChildProcess | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tcpledger-lock-'));
});

afterEach(async () => {
  await kill();
  rmdirSync(directory);
});

async function kill(): Promise<void> {
  if (!holder) return;
  const exited = once(holder, 'exit');
  holder.kill('SIGKILL');
  await exited;
  holder = undefined;
}

/** Another process that holds the lock. */
async function holdElsewhere(): Promise<number> {
  const program = `
    const flock = require('koffi').load('libc.so.6').func('int flock(int, int)');
    if (flock(require('fs').openSync(process.argv[1], 'r'), 6) === 0) console.log('held');
    setInterval(() => {}, 1e6);`;
  holder = spawn(process.execPath, ['-e', program, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(holder.stdout!, 'data');
  return holder.pid!;
}

test('a directory belongs to one at a time, and leaves nothing in it', () => {
  const first = lockDirectory(directory);
  if (!first.held) throw new Error('not held');
  expect(lockDirectory(directory)).toEqual({ held: false, pid: process.pid });
  expect(readdirSync(directory)).toEqual([]);
  first.release();
  const second = lockDirectory(directory);
  expect(second.held).toBe(true);
  if (second.held) second.release();
});

test('another process that holds it is named; when it is killed the lock is free', async () => {
  const pid = await holdElsewhere();
  expect(lockDirectory(directory)).toEqual({ held: false, pid });
  await kill();
  const lock = lockDirectory(directory);
  expect(lock.held).toBe(true);
  if (lock.held) lock.release();
});

test('what is no directory cannot be locked', () => {
  expect(() => lockDirectory(join(directory, 'none'))).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  expect(() => lockDirectory('/dev/null')).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
});

test('the owner in /proc/locks', () => {
  const locks = [
    '1: POSIX  ADVISORY  WRITE 11 00:27:77 0 EOF',
    '2: FLOCK  ADVISORY  WRITE 22 00:27:777 0 EOF',
    '3: FLOCK  ADVISORY  WRITE 33 00:27:77 0 EOF',
    '4: FLOCK  ADVISORY  WRITE 0 00:27:78 0 EOF',
    '',
  ].join('\n');
  expect(ownerOf(77n, locks)).toBe(33);
  expect(ownerOf(777n, locks)).toBe(22);
  expect(ownerOf(78n, locks)).toBeUndefined();
  expect(ownerOf(7n, locks)).toBeUndefined();
});
