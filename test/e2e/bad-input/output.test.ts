/** An access log that cannot be written: at the start the agent says so and ends, later no line is lost or split in silence. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseLog } from '../../kernel/support/access-log.ts';
import { type Agent, type AgentOptions, startAgent } from '../../kernel/support/agent.ts';
import { undoLater } from '../../kernel/support/cleanup.ts';
import { runSync } from '../../kernel/support/command.ts';
import { eventually } from '../../kernel/support/eventually.ts';
import { describeOnKernel } from '../../kernel/support/suite.ts';
import { Traffic } from '../support/traffic.ts';

describeOnKernel('the access log', () => {
  const undo: (() => void)[] = [];
  let traffic: Traffic;
  let agent: Agent | undefined;

  beforeEach(async () => {
    traffic = await Traffic.create();
    undo.push(() => traffic.remove());
  });

  afterEach(async () => {
    await agent?.kill();
    agent = undefined;
    for (const each of undo.splice(0).reverse()) each();
  });

  function temporaryDirectory(): string {
    const directory = mkdtempSync(join(tmpdir(), 'tcpledger-output-'));
    undo.push(undoLater(() => rmSync(directory, { recursive: true })));
    return directory;
  }

  /** A file system of its own in memory. */
  function mounted(options: string): string {
    const directory = temporaryDirectory();
    runSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory]);
    undo.push(undoLater(() => runSync('umount', [directory])));
    return directory;
  }

  async function started(options: AgentOptions = {}): Promise<Agent> {
    agent = await startAgent({ workloads: traffic.workloads, ...options });
    return agent;
  }

  test.for([
    ['in a directory that is not there', () => join(temporaryDirectory(), 'none', 'log'), 'create the directory'],
    ['that is a directory', () => temporaryDirectory(), 'name a file in it'],
    ['on a read-only file system', () => join(mounted('ro'), 'log'), 'mount it writable'],
  ] as const)('an access log %s: ends with 1 and says what to do', async ([, path, advice]) => {
    const logOutput = path();
    const start = started({ logOutput });
    await expect(start).rejects.toThrow(/ended with 1:/);
    await expect(start).rejects.toThrow(
      new RegExp(`TCPL_E_OUTPUT: cannot open the access log ${logOutput} .*${advice}.*exporters\\.access_log\\.output`),
    );
  });

  test('a disk that is full for a while: lines wait, those for which there is no room are counted', async () => {
    // names so long that what the agent keeps for a full disk is full soon, too
    const client = `client-${'c'.repeat(1900)}`;
    const server = `server-${'s'.repeat(1900)}`;
    const directory = mounted('size=128m');
    const { logFile, scrape, log, stderr } = await started({
      directory,
      workloads: [
        { name: client, ips: traffic.workloads[0].ips },
        { name: server, ips: traffic.workloads[1].ips },
      ],
    });
    await traffic.run(200);
    await eventually(() => expect(log().length).toBeGreaterThanOrEqual(400));

    const filler = join(directory, 'filler');
    fill(filler);
    for (let wave = 0; wave < 10; wave++) await traffic.run(2000);
    await traffic.isOnPage(agent!, client, server);
    await eventually(async () => {
      expect((await scrape()).sum('tcpledger_access_log_dropped_total', { reason: 'output_error' })).toBeGreaterThan(0);
    });
    expect(stderr()).toMatch(new RegExp(`cannot write the access log ${logFile}: ENOSPC`));

    unlinkSync(filler);
    await eventually(() => expect(stderr()).toContain(`access log ${logFile} can be written again`));
    await eventually(async () => {
      const page = await scrape();
      const ended = page.sum('tcpledger_connections_closed_total') + page.sum('tcpledger_connections_failed_total');
      // log() reads strictly: a torn line would be told
      expect(log().length + page.sum('tcpledger_access_log_dropped_total')).toBe(ended);
    });
    const ids = log().map(({ fields }) => fields['tcpledger.connection.id']);
    expect(new Set(ids).size).toBe(ids.length);
    expect(await agent!.stop()).toBe(0);
  });

  test('a log that is rotated under load: no line is lost or split', async () => {
    const directory = temporaryDirectory();
    const { logFile, signal, log } = await started({ directory });
    let rotating = true;
    const running = (async () => {
      while (rotating) await traffic.run(1000);
    })();
    for (let rotation = 0; rotation < 8; rotation++) {
      await eventually(() => expect(log().length).toBeGreaterThan(100));
      renameSync(logFile, `${logFile}.${rotation}`);
      signal('SIGHUP');
      await eventually(() => expect(existsSync(logFile)).toBe(true));
    }
    rotating = false;
    await running;
    const pieces = () =>
      readdirSync(directory)
        .filter((name) => name.startsWith('access.log'))
        .map((name) => readFileSync(join(directory, name), 'utf8'));
    await eventually(() => traffic.isIn(pieces().flatMap((content) => parseLog(content))));
    expect(await agent!.stop()).toBe(0);
    for (const content of pieces()) expect(content === '' || content.endsWith('\n')).toBe(true);
    expect(pieces()).toHaveLength(9);
    await traffic.isIn(pieces().flatMap((content) => parseLog(content)));
  });

  test('a log whose directory has gone when it is rotated: the file opened before is used', async () => {
    const directory = temporaryDirectory();
    const logs = join(directory, 'logs');
    const moved = join(directory, 'moved');
    mkdirSync(logs);
    const { signal, stderr } = await started({ directory, logOutput: join(logs, 'access.log') });
    await traffic.run(100);
    renameSync(logs, moved);
    signal('SIGHUP');
    await eventually(() =>
      expect(stderr()).toMatch(/TCPL_E_OUTPUT|cannot open the access log .*Going on with the file/),
    );
    await traffic.run(100);
    await eventually(() => traffic.isIn(parseLog(readFileSync(join(moved, 'access.log'), 'utf8'))));
  });
});

/** Takes all the room that the file system has. */
function fill(path: string): void {
  const piece = Buffer.alloc(1 << 20);
  for (const size of [piece.length, 4096]) {
    for (let full = false; !full; ) {
      try {
        writeFileSync(path, piece.subarray(0, size), { flag: 'a' });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        full = true;
      }
    }
  }
}
