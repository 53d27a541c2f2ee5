import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closes, createExporter, host, source } from './exporter-fixture.ts';
import { connection, peers } from './fixtures.ts';
import { parseJson, parseText } from './parse-line.ts';

const never = (): AbortSignal => new AbortController().signal;

let directory: string;
let path: string;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'access-log-'));
  path = join(directory, 'access.log');
});

afterEach(() => {
  fs.rmSync(directory, { recursive: true });
});

const readLines = (file: string): string[] => fs.readFileSync(file, 'utf8').split(/(?<=\n)/);
const ids = (file: string): number[] =>
  readLines(file).map((line) => Number(String(parseJson(line).fields.at(-1)![1]).split('-')[1]));

describe('the access_log exporter', () => {
  it.each([
    ['text', parseText],
    ['json', parseJson],
  ] as const)('writes %s lines', async (format, parse) => {
    const { exporter, consumer } = createExporter({ format, output: path });
    await exporter.start(host);
    consumer.consume(closes(3, 1));
    await exporter.shutdown(never());
    expect(readLines(path).map((line) => parse(line).message)).toEqual(new Array(3).fill('connection complete'));
  });

  it('prints opens, closes and failures at their levels', async () => {
    const { exporter, consumer } = createExporter({ output: path });
    await exporter.start(host);
    const records = [
      connection({ event: 'open' }),
      connection({ event: 'close' }),
      connection({ event: 'fail', errno: 111 }),
    ];
    consumer.consume({ records, peers: records.map(() => peers()), source });
    await exporter.shutdown(never());
    expect(readLines(path).map((line) => parseText(line).level)).toEqual(['debug', 'info', 'error']);
  });

  it('refuses what its configuration does not know', () => {
    expect(() => createExporter({ format: 'xml' })).toThrow('exporters.access_log.format');
    expect(() => createExporter({ outptu: 'stdout' })).toThrow('outptu');
    expect(() => createExporter({ output: '' })).toThrow('exporters.access_log.output');
    expect(() => createExporter({ level: 'debug' })).toThrow('exporters.access_log');
  });

  it('does not start when its file cannot be opened', async () => {
    const { exporter } = createExporter({ output: join(directory, 'missing', 'access.log') });
    await expect(exporter.start(host)).rejects.toMatchObject({ code: 'TCPL_E_OUTPUT' });
  });

  it('goes on in a new file after a rotation under load: no line lost, none split', async () => {
    const { exporter, consumer, dropped } = createExporter({ format: 'json', output: path });
    await exporter.start(host);
    const rotated: string[] = [];
    let next = 0;
    for (let round = 0; round < 300; round++) {
      consumer.consume(closes(200, next));
      next += 200;
      if (round % 30 === 29) {
        const old = `${path}.${rotated.length}`;
        fs.renameSync(path, old);
        rotated.push(old);
        exporter.reopen();
        // Until the new file is there the old one may be written; a second rename needs something to rename.
        while (!fs.existsSync(path)) await new Promise((resolve) => setImmediate(resolve));
      } else if (round % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await exporter.shutdown(never());
    expect(rotated).toHaveLength(10);
    expect([...rotated, path].flatMap((file) => (fs.statSync(file).size === 0 ? [] : ids(file)))).toEqual(
      Array.from({ length: next }, (_, i) => i),
    );
    expect(dropped).toEqual({});
  });

  it('counts what the end cuts off', async () => {
    const { exporter, consumer, dropped, logger } = createExporter({ output: '/dev/full' });
    await exporter.start(host);
    consumer.consume(closes(7, 0));
    await exporter.shutdown(never());
    expect(dropped).toEqual({ 'tcpledger_access_log_dropped{shutdown}': 7 });
    expect(logger.lines.at(-1)).toContain('7 access-log lines could not be written to /dev/full');
  });
});
