/** Files of the agent that cannot be read or written: at the start it says so and ends, later it goes on with what it has. */
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
import { writeIdentityFile } from '../../kernel/support/identity-file.ts';
import { describeOnKernel } from '../../kernel/support/suite.ts';
import { Traffic } from '../support/traffic.ts';

describeOnKernel('files that cannot be used', () => {
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
    const directory = mkdtempSync(join(tmpdir(), 'tcpledger-files-'));
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

  test.for([
    ['is no YAML', '{"workloads": [\n  {"name": "x",,}\n]}', ':2: '],
    [
      'has the wrong types',
      '{"workloads": [\n\n  {"name": "x", "workloadIps": "10.0.0.1"}\n]}',
      ':3: workloads[0].workloadIps: ',
    ],
    ['has a key that does not exist', '{"workloads": [],\n"servises": []}', ':2: servises: unknown key'],
    ['is half-written', undefined, ':'],
    ['has gone', null, ''],
  ] as const)('an identity file that %s when it is read again: the names before stay', async ([, content, where]) => {
    const { identityFile, stderr, rename } = await started();
    await traffic.run(100);
    await traffic.isOnPage(agent!);
    const whole = readFileSync(identityFile, 'utf8');
    if (content === null) unlinkSync(identityFile);
    else writeFileSync(identityFile, content ?? whole.slice(0, whole.length / 2));
    await eventually(() => {
      expect(stderr()).toContain('the workload file cannot be used, its last good version stays');
      expect(stderr()).toContain(`${identityFile}${where}`);
    });
    await traffic.run(100);
    await traffic.isOnPage(agent!);

    // and it is read when it is good again
    rename([
      { name: 'renamed-caller', ips: traffic.workloads[0].ips },
      { name: 'renamed-callee', ips: traffic.workloads[1].ips },
    ]);
    await eventually(() => expect(stderr()).toContain(`${identityFile} read again: 2 workloads, 0 services`));
    const before = traffic.connections;
    await traffic.run(50);
    await eventually(async () => {
      const labels = { source_workload: 'renamed-caller', destination_workload: 'renamed-callee' };
      const page = await agent!.scrape();
      expect(page.sum('istio_tcp_connections_opened_total', { ...labels, reporter: 'source' })).toBe(50);
      const both = ['caller', 'renamed-caller'].map((name) =>
        page.sum('istio_tcp_connections_opened_total', { source_workload: name, reporter: 'source' }),
      );
      expect(both).toEqual([before, 50]);
    });
  });

  test('an identity file that is malformed at the start: ends with 2, with the line', async () => {
    const directory = temporaryDirectory();
    const { configFile, identityFile } = await started({ directory });
    await agent!.stop();
    writeFileSync(identityFile, '{"workloads": [\n\n{"name": 5, "namespace": []}]}');
    expect(() => runSync(process.execPath, ['dist/tcpledger.cjs', 'run', '--config', configFile])).toThrow(
      new RegExp(`TCPL_E_CONFIG: ${identityFile}:3: workloads\\[0\\]\\.namespace: `),
    );
  });

  test.for([
    ['a mistake', (text: string) => text.replace('"json"', '"jsn"'), '"jsn"', 'exporters.access_log.format'],
    [
      'an unknown key',
      (text: string) => text.replace('"max_pairs"', '"max_pair"'),
      '"max_pair"',
      'Did you mean "max_pairs"',
    ],
    ['half a file', (text: string) => text.slice(0, text.indexOf('"exporters"') + 30), undefined, ''],
  ] as const)('a configuration with %s when it is read again: the one before stays', async ([, spoil, at, told]) => {
    const { configFile, stderr } = await started({ receiver: { max_pairs: 1024 } });
    await traffic.run(100);
    const good = readFileSync(configFile, 'utf8');
    const bad = spoil(good);
    expect(bad).not.toBe(good);
    writeFileSync(configFile, bad);
    await eventually(() => expect(stderr()).toContain('the configuration before stays'));
    const line = at === undefined ? '\\d+' : bad.slice(0, bad.indexOf(at)).split('\n').length;
    expect(stderr()).toMatch(new RegExp(`${configFile}:${line}:\\d+: .*${told}`));
    await traffic.run(100);
    await traffic.isOnPage(agent!);
    await traffic.isInLog(agent!);

    writeFileSync(configFile, good);
    await eventually(() => expect(stderr()).toMatch(/read again: nothing changed|is reloaded/));
    await traffic.run(100);
    await traffic.isOnPage(agent!);
    expect(await agent!.stop()).toBe(0);
    traffic.isIn(agent!.log());
  });

  test('an identity file that others replace all the time is never read by half', async () => {
    const { identityFile, stderr } = await started();
    let replacing = true;
    const replaced = (async () => {
      for (let i = 0; replacing; i++) {
        writeIdentityFile(identityFile, [...traffic.workloads, { name: `other-${i}`, ips: ['10.73.250.1'] }]);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let wave = 0; wave < 5; wave++) await traffic.run(400);
    replacing = false;
    await replaced;
    await traffic.isOnPage(agent!);
    expect(stderr()).not.toContain('cannot be used');
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
