/** Start order, data's way, shutdown against a deadline, failures. */
import { beforeEach, describe, expect, it } from 'vitest';
import { TcpledgerError } from '../../../src/collector/errors.ts';
import { World } from './fakes.ts';

const CONFIG = `
receivers: {rec: {storage: ext}}
processors: {proc: }
exporters: {exp: , exp/b: }
extensions: {ext: , ext/listed: }
service:
  extensions: [ext/listed]
  pipelines:
    metrics: {receivers: [rec], processors: [proc], exporters: [exp]}
    logs: {receivers: [rec], processors: [proc], exporters: [exp, exp/b]}
`;

const STARTS = [
  'start ext/listed#0',
  'start ext#0',
  'start exp#0',
  'start exp/b#0',
  'start proc#0',
  'start rec#0 with ext there',
];

let world: World;
beforeEach(() => {
  world = new World();
  world.text = CONFIG;
});

describe('start', () => {
  it('goes from extensions over exporters and processors to receivers', async () => {
    await world.service.start();
    expect(world.take()).toEqual(STARTS);
    expect(world.log).toEqual(['info service Running with c.yaml: metrics, logs']);
  });

  it('feeds one instance from every pipeline that names it, each exporter once', async () => {
    await world.service.start();
    world.take();
    world.outputs.get('rec')!.metrics!.consume('m');
    world.outputs.get('rec')!.logs!.consume('l');
    expect(world.take()).toEqual(['m>proc#0>exp#0', 'l>proc#0>exp#0', 'l>proc#0>exp/b#0']);
  });

  it('feeds a consumer that two exporters share once', async () => {
    world.text = `
receivers: {rec: }
processors: {proc: }
exporters: {table: , table/b: , exp: }
service: {pipelines: {metrics: {receivers: [rec], processors: [proc], exporters: [table, exp, table/b]}}}
`;
    await world.service.start();
    expect(world.take().filter((event) => event.startsWith('table'))).toEqual(['table of metrics']);
    world.outputs.get('rec')!.metrics!.consume('m');
    expect(world.take()).toEqual(['m>proc#0>table', 'm>proc#0>exp#0']);
    expect(world.outputs.get('rec')!.logs).toBeUndefined();
  });

  it('tells the receiver when a processor names ends by their executable', async () => {
    world.text = CONFIG.replace('proc: }', 'proc: {tag: 7}}');
    await world.service.start();
    expect(world.outputs.get('rec')!.needsExecutable).toBe(true);
  });

  it('rejects with every mistake of the configuration', async () => {
    world.text = 'receivers: {nope: }\nservice: {pipelines: {metrics: {receivers: [nope], exporters: [gone]}}}';
    const error = await world.service.start().catch((reason: unknown) => reason as TcpledgerError);
    expect(error).toBeInstanceOf(TcpledgerError);
    expect(error).toHaveProperty('exitCode', 2);
    expect((error as TcpledgerError).message.split('\n')).toEqual([
      'c.yaml:1:13: receivers.nope: unknown receiver type "nope". Known: rec.',
      'c.yaml:2:64: service.pipelines.metrics.exporters[0]: names the exporter "gone", which is not defined under exporters. No exporters are defined.',
    ]);
    expect(world.take()).toEqual([]);
  });

  it('stops what had been started when one fails, the failed one too', async () => {
    world.text = CONFIG.replace('proc: }', 'proc: {start: fails}}');
    await expect(world.service.start()).rejects.toThrow('proc#0 cannot start');
    expect(world.take()).toEqual([
      ...STARTS.slice(0, 5),
      'stop proc#0',
      'stop exp#0',
      'stop exp/b#0',
      'stop ext/listed#0',
      'stop ext#0',
    ]);
    expect(await world.service.reload()).toEqual({ ok: false, reasons: ['The agent is not running'] });
  });

  it('is given up when the agent is told to stop meanwhile', async () => {
    world.text = CONFIG.replace('proc: }', 'proc: {start: hangs}}');
    const started = world.service.start();
    while (!world.events.includes('start proc#0')) await new Promise(setImmediate);
    await world.service.shutdown();
    await started;
    expect(world.take().slice(5)).toEqual([
      'stop proc#0',
      'stop exp#0',
      'stop exp/b#0',
      'stop ext/listed#0',
      'stop ext#0',
    ]);
  });
});

describe('readiness', () => {
  it('misses everything that has not started, then what components say', async () => {
    world.text = CONFIG.replace('proc: }', 'proc: {start: hangs}}');
    const started = world.service.start();
    while (!world.events.includes('start proc#0')) await new Promise(setImmediate);
    expect([...world.service.notReady()]).toEqual([
      ['proc', 'is starting'],
      ['rec', 'is starting'],
    ]);
    world.hosts.get('exp')!.setReady('exp', 'waits for a flag');
    expect(world.hosts.get('ext')!.notReady().get('exp')).toBe('waits for a flag');
    world.hosts.get('exp')!.setReady('exp', undefined);
    expect(world.service.notReady().has('exp')).toBe(false);
    await world.service.shutdown();
    await started;
    // What never started never got ready.
    expect([...world.service.notReady().keys()]).toEqual(['rec']);
  });
});

describe('failure', () => {
  it('resolves with the first error that a component cannot live with', async () => {
    await world.service.start();
    world.hosts.get('rec')!.fail(new Error('first'));
    world.hosts.get('exp')!.fail(new Error('second'));
    expect((await world.service.failure).message).toBe('first');
  });
});

describe('reopen', () => {
  it('reaches every running component, whatever one of them does', async () => {
    world.text = CONFIG.replace('exp: ,', 'exp: {stop: throws},');
    await world.service.start();
    world.take();
    await world.service.reopen();
    expect(world.take().toSorted()).toEqual([
      'reopen exp#0',
      'reopen exp/b#0',
      'reopen ext#0',
      'reopen ext/listed#0',
      'reopen proc#0',
      'reopen rec#0',
    ]);
    expect(world.log).toContain('error service Reopening the output of the exporter exp failed: exp#0 cannot reopen');
  });
});

describe('shutdown', () => {
  const STOPS = ['stop rec#0', 'stop proc#0', 'stop exp#0', 'stop exp/b#0', 'stop ext/listed#0', 'stop ext#0'];

  it('goes the way of the data, once', async () => {
    await world.service.start();
    world.take();
    await Promise.all([world.service.shutdown(), world.service.shutdown()]);
    expect(world.take()).toEqual(STOPS);
    expect(await world.service.reload()).toEqual({ ok: false, reasons: ['The agent is stopping'] });
  });

  it.each(['throws', 'fails'])('goes on when one %s', async (stop) => {
    world.text = CONFIG.replace('proc: }', `proc: {stop: ${stop}}}`);
    await world.service.start();
    world.take();
    await world.service.shutdown();
    expect(world.take()).toEqual(STOPS);
    expect(world.log).toContain(`error service Stopping the processor proc failed: proc#0 ${stop}`);
  });

  it('leaves behind what hangs, after its signal, and the others still have time', async () => {
    world.text = CONFIG.replace('rec: {', 'rec: {stop: hangs, ').replace('exp: ,', 'exp: {stop: hangs},');
    await world.service.start();
    world.take();
    await world.service.shutdown(400);
    expect(world.take()).toEqual([
      'stop rec#0',
      'abort rec#0',
      'stop proc#0',
      'stop exp#0',
      'stop exp/b#0',
      'abort exp#0',
      'stop ext/listed#0',
      'stop ext#0',
    ]);
    expect(world.log.filter((line) => line.includes('did not stop within'))).toHaveLength(2);
  });

  it('without a start has nothing to do', async () => {
    await world.service.shutdown();
    expect(world.take()).toEqual([]);
  });
});
