import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { closes, createExporter, host } from './exporter-fixture.ts';
import { parseJson } from './parse-line.ts';

const never = (): AbortSignal => new AbortController().signal;

/** A file system of 256 KiB of which a ballast fills a part. */
let directory: string;
let mountError: string | undefined;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'access-log-disk-'));
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', directory], { encoding: 'utf8' });
  mountError = mount.status === 0 ? undefined : (mount.error?.message ?? mount.stderr.trim());
});

afterEach(() => {
  // Lazily: a test that failed may have left its file open.
  if (mountError === undefined) execFileSync('umount', ['-l', directory]);
  fs.rmdirSync(directory);
});

function needsMount(context: TestContext): void {
  if (mountError !== undefined) context.skip(`needs to mount a tmpfs (root): ${mountError}`);
}

const readLines = (file: string): string[] => fs.readFileSync(file, 'utf8').split(/(?<=\n)/);
const ids = (file: string): number[] =>
  readLines(file).map((line) => Number(String(parseJson(line).fields.at(-1)![1]).split('-')[1]));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('a full disk', () => {
  it('loses no line and leaves none torn when space returns', async (context) => {
    needsMount(context);
    const path = join(directory, 'access.log');
    const ballast = join(directory, 'ballast');
    fs.writeFileSync(ballast, Buffer.alloc(200 * 1024));
    const { exporter, consumer, logger, dropped } = createExporter({ format: 'json', output: path });
    await exporter.start(host);
    for (let i = 0; i < 5; i++) consumer.consume(closes(100, i * 100));
    await until(() => logger.lines.length > 0);
    expect(logger.lines).toEqual([expect.stringMatching(/^error cannot write the access log .*: ENOSPC/)]);
    // While it is full every line that is there is whole.
    const before = ids(path);
    expect(before).toEqual(Array.from({ length: before.length }, (_, i) => i));
    expect(before.length).toBeLessThan(500);
    fs.rmSync(ballast);
    await until(() => logger.lines.length > 1);
    expect(logger.lines[1]).toContain('can be written again');
    await exporter.shutdown(never());
    expect(ids(path)).toEqual(Array.from({ length: 500 }, (_, i) => i));
    expect(dropped).toEqual({});
  });

  it('is left by a rotation to a file with space', async (context) => {
    needsMount(context);
    const path = join(directory, 'access.log');
    const elsewhere = fs.mkdtempSync(join(tmpdir(), 'access-log-'));
    fs.writeFileSync(join(directory, 'ballast'), Buffer.alloc(230 * 1024));
    const { exporter, consumer, logger, dropped } = createExporter({ format: 'json', output: path });
    await exporter.start(host);
    consumer.consume(closes(200, 0));
    await until(() => logger.lines.length > 0);
    const old = join(directory, 'access.log.1');
    fs.renameSync(path, old);
    fs.symlinkSync(join(elsewhere, 'access.log'), path);
    exporter.reopen();
    await until(() => logger.lines.some((line) => line.includes('opened anew')));
    await exporter.shutdown(never());
    expect([...ids(old), ...ids(path)]).toEqual(Array.from({ length: 200 }, (_, i) => i));
    expect(dropped).toEqual({});
    fs.rmSync(elsewhere, { recursive: true });
  });
});
