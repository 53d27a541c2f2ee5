/**
 * Files that are read again when they change, and are wrong then: the agent says where, and goes on with what it has.
 * It looks at them every second or so: tests that wait for that wait side by side, each with an agent and addresses of
 * its own.
 */
import { mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, type TestContext, test } from 'vitest';
import { finish } from '../../cli/support/program.ts';
import { type Agent, type AgentOptions, startAgent } from '../../kernel/support/agent.ts';
import { undoLater } from '../../kernel/support/cleanup.ts';
import { eventually } from '../../kernel/support/eventually.ts';
import { writeIdentityFile } from '../../kernel/support/identity-file.ts';
import { describeOnKernel } from '../../kernel/support/suite.ts';
import { Traffic } from '../support/traffic.ts';

describeOnKernel('a file that is wrong', () => {
  /** Traffic, and an agent that knows its ends: both until the test is over. */
  async function started(
    { onTestFinished }: TestContext,
    options: AgentOptions = {},
  ): Promise<{ traffic: Traffic; agent: Agent }> {
    const traffic = await Traffic.create();
    onTestFinished(() => traffic.remove());
    const agent = await startAgent({ workloads: traffic.workloads, ...options });
    onTestFinished(() => agent.kill());
    return { traffic, agent };
  }

  test.concurrent.for([
    ['is no YAML', '{"workloads": [\n  {"name": "x",,}\n]}', ':2: '],
    [
      'has the wrong types',
      '{"workloads": [\n\n  {"name": "x", "workloadIps": "10.0.0.1"}\n]}',
      ':3: workloads[0].workloadIps: ',
    ],
    ['has a key that does not exist', '{"workloads": [],\n"servises": []}', ':2: servises: unknown key'],
    ['is half-written', undefined, ':'],
    ['has gone', null, ''],
  ] as const)(
    'an identity file that %s when it is read again: the names before stay',
    async ([, content, where], context) => {
      const { traffic, agent } = await started(context);
      const { identityFile, stderr, rename } = agent;
      await traffic.run(100);
      await traffic.isOnPage(agent);
      const whole = readFileSync(identityFile, 'utf8');
      if (content === null) unlinkSync(identityFile);
      else writeFileSync(identityFile, content ?? whole.slice(0, whole.length / 2));
      await eventually(() => {
        expect(stderr()).toContain('the workload file cannot be used, its last good version stays');
        expect(stderr()).toContain(`${identityFile}${where}`);
      });
      await traffic.run(100);
      await traffic.isOnPage(agent);

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
        const page = await agent.scrape();
        expect(page.sum('istio_tcp_connections_opened_total', { ...labels, reporter: 'source' })).toBe(50);
        const both = ['caller', 'renamed-caller'].map((name) =>
          page.sum('istio_tcp_connections_opened_total', { source_workload: name, reporter: 'source' }),
        );
        expect(both).toEqual([before, 50]);
      });
    },
  );

  test.concurrent('an identity file that is malformed at the start: ends with 2, with the line', async (context) => {
    const directory = mkdtempSync(join(tmpdir(), 'tcpledger-reload-'));
    const removeDirectory = undoLater(() => rmSync(directory, { recursive: true }));
    const { agent } = await started(context, { directory });
    const { configFile, identityFile } = agent;
    await agent.stop();
    writeFileSync(identityFile, '{"workloads": [\n\n{"name": 5, "namespace": []}]}');
    const { code, stderr } = await finish(['run', '--config', configFile]);
    expect(stderr).toMatch(new RegExp(`TCPL_E_CONFIG: ${identityFile}:3: workloads\\[0\\]\\.namespace: `));
    expect(code).toBe(2);
    removeDirectory();
  });

  test.concurrent.for([
    ['a mistake', (text: string) => text.replace('"json"', '"jsn"'), '"jsn"', 'exporters.access_log.format'],
    [
      'an unknown key',
      (text: string) => text.replace('"max_pairs"', '"max_pair"'),
      '"max_pair"',
      'Did you mean "max_pairs"',
    ],
    ['half a file', (text: string) => text.slice(0, text.indexOf('"exporters"') + 30), undefined, ''],
  ] as const)(
    'a configuration with %s when it is read again: the one before stays',
    async ([, spoil, at, told], context) => {
      const { traffic, agent } = await started(context, { receiver: { max_pairs: 1024 } });
      const { configFile, stderr } = agent;
      await traffic.run(100);
      const good = readFileSync(configFile, 'utf8');
      const bad = spoil(good);
      expect(bad).not.toBe(good);
      writeFileSync(configFile, bad);
      await eventually(() => expect(stderr()).toContain('the configuration before stays'));
      const line = at === undefined ? '\\d+' : bad.slice(0, bad.indexOf(at)).split('\n').length;
      expect(stderr()).toMatch(new RegExp(`${configFile}:${line}:\\d+: .*${told}`));
      await traffic.run(100);
      await traffic.isOnPage(agent);
      await traffic.isInLog(agent);

      writeFileSync(configFile, good);
      await eventually(() => expect(stderr()).toMatch(/read again: nothing changed|is reloaded/));
      await traffic.run(100);
      await traffic.isOnPage(agent);
      expect(await agent.stop()).toBe(0);
      traffic.isIn(agent.log());
    },
  );

  test('an identity file that others replace all the time is never read by half', async (context) => {
    const { traffic, agent } = await started(context);
    const { identityFile, stderr } = agent;
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
    await traffic.isOnPage(agent);
    expect(stderr()).not.toContain('cannot be used');
  });
});
