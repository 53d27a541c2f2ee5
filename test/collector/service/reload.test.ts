/** From one configuration to the next: what stays untouched, what is replaced in which order, what comes back. */
import { beforeEach, describe, expect, it } from 'vitest';
import { UNMAKEABLE, World } from './fakes.ts';

const CONFIG = `
receivers: {rec: }
processors: {proc: }
exporters: {exp: , exp/b: }
service:
  pipelines:
    metrics: {receivers: [rec], processors: [proc], exporters: [exp]}
    logs: {receivers: [rec], processors: [proc], exporters: [exp, exp/b]}
`;

let world: World;

async function running(text: string): Promise<void> {
  world.text = text;
  await world.service.start();
  world.take();
}

async function reload(text: string) {
  world.text = text;
  return await world.service.reload();
}

/** What a batch on both signals meets. */
function flow(): string[] {
  const outputs = world.outputs.get('rec')!;
  outputs.metrics?.consume('m');
  outputs.logs?.consume('l');
  return world.take();
}

beforeEach(async () => {
  world = new World();
  await running(CONFIG);
});

it('leaves everything alone when nothing changed', async () => {
  expect(await reload(`# a comment\n${CONFIG}`)).toEqual({ ok: true, changed: false, warnings: [] });
  expect(world.take()).toEqual([]);
  expect(world.log.at(-1)).toBe('info service c.yaml is read again: nothing changed');
});

it('keeps the old configuration when the new one has mistakes, and says them', async () => {
  const result = await reload(CONFIG.replace('exp/b: ', 'exp/b: {tga: 1}'));
  const mistake =
    'c.yaml:4:28: exporters.exp/b.tga: unknown key "tga". Allowed: tag, start, stop, port, storage. Did you mean "tag"?';
  expect(result).toEqual({ ok: false, reasons: [mistake] });
  expect(world.log.slice(-2)).toEqual([
    `error service ${mistake}`,
    'error service c.yaml has mistakes and was not loaded; the configuration before stays',
  ]);
  expect(flow()).toEqual(['m>proc#0>exp#0', 'l>proc#0>exp#0', 'l>proc#0>exp/b#0']);
});

it('replaces a changed exporter and nothing else', async () => {
  expect(await reload(CONFIG.replace('exp/b: ', 'exp/b: {tag: 1}'))).toMatchObject({ ok: true, changed: true });
  expect(world.take()).toEqual(['stop exp/b#0', 'start exp/b#1']);
  expect(flow()).toEqual(['m>proc#0>exp#0', 'l>proc#0>exp#0', 'l>proc#0>exp/b#1']);
});

it('starts a changed processor before data goes to it, and stops the old one after', async () => {
  await reload(CONFIG.replace('proc: }', 'proc: {tag: 7}}'));
  expect(world.take()).toEqual(['start proc#7', 'rec outputs changed', 'stop proc#0']);
  expect(world.outputs.get('rec')!.needsExecutable).toBe(true);
  expect(flow()).toEqual(['m>proc#7>exp#0', 'l>proc#7>exp#0', 'l>proc#7>exp/b#0']);
});

it('adds and removes pipelines and components', async () => {
  await reload(`
receivers: {rec: }
processors: {proc: }
exporters: {exp: , exp/c: }
service:
  pipelines:
    metrics: {receivers: [rec], processors: [proc], exporters: [exp]}
    metrics/2: {receivers: [rec], processors: [proc], exporters: [exp/c]}
`);
  expect(world.take()).toEqual(['stop exp/b#0', 'start exp/c#0', 'rec outputs changed']);
  expect(flow()).toEqual(['m>proc#0>exp#0', 'm>proc#0>exp/c#0']);
  expect(world.outputs.get('rec')!.logs).toBeUndefined();
});

it('lets what a processor holds back go to the exporters of the day', async () => {
  const held = world.outputs.get('rec')!.logs!;
  await reload(CONFIG.replace('exp/b: ', 'exp/b: {tag: 1}'));
  world.take();
  held.consume('late');
  expect(world.take()).toEqual(['late>proc#0>exp#0', 'late>proc#0>exp/b#1']);
});

it('adds a receiver and removes one, and drains the removed one first', async () => {
  await reload(
    CONFIG.replace('rec: }', 'rec: , rec/2: }').replace(
      'metrics: {receivers: [rec]',
      'metrics: {receivers: [rec, rec/2]',
    ),
  );
  expect(world.take()).toEqual(['start rec/2#0']);
  world.outputs.get('rec/2')!.metrics!.consume('n');
  expect(world.take()).toEqual(['n>proc#0>exp#0']);
  await reload(CONFIG);
  expect(world.take()).toEqual(['stop rec/2#0']);
});

it('keeps shared state while the pipeline lives, whichever exporter made it', async () => {
  world = new World();
  const withTable = (tables: string, names: string) => `
receivers: {rec: }
processors: {proc: }
exporters: {${tables}}
service: {pipelines: {metrics: {receivers: [rec], processors: [proc], exporters: [${names}]}}}
`;
  await running(withTable('table: ', 'table'));
  await reload(withTable('table/other: {tag: 2}', 'table/other'));
  expect(world.take()).toEqual(['stop table#0', 'start table/other#2']);
  expect(flow()).toEqual(['m>proc#0>table']);
});

describe('ports', () => {
  it('go from an instance to its successor', async () => {
    world = new World();
    await running(CONFIG.replace('exp: ,', 'exp: {port: 5},'));
    expect(await reload(CONFIG.replace('exp: ,', 'exp: {port: 5, tag: 1},'))).toMatchObject({ ok: true });
    expect(world.take()).toEqual(['stop exp#0', 'start exp#1']);
  });

  it('go to another id of the same type', async () => {
    world = new World();
    await running(CONFIG.replace('exp/b: }', 'exp/b: {port: 5}}'));
    expect(await reload(CONFIG.replace('exp/b: }', 'exp/c: {port: 5}}').replace('exp/b]', 'exp/c]'))).toMatchObject({
      ok: true,
    });
    expect(world.take()).toEqual(['stop exp/b#0', 'start exp/c#0']);
  });
});

it('touches nothing when a component cannot be created', async () => {
  const result = await reload(
    CONFIG.replace('proc: }', `proc: {tag: ${UNMAKEABLE}}}`).replace('exp/b: ', 'exp/b: {tag: 1}'),
  );
  expect(result).toEqual({ ok: false, reasons: [`proc#${UNMAKEABLE} cannot be made`] });
  expect(world.take()).toEqual([]);
  expect(flow()).toEqual(['m>proc#0>exp#0', 'l>proc#0>exp#0', 'l>proc#0>exp/b#0']);
});

describe('a new component that does not start', () => {
  it('brings its predecessor back, made anew', async () => {
    const result = await reload(CONFIG.replace('exp/b: ', 'exp/b: {tag: 1, start: fails}'));
    expect(result).toEqual({ ok: false, reasons: ['exp/b#1 cannot start.'] });
    expect(world.take()).toEqual(['stop exp/b#0', 'start exp/b#1', 'stop exp/b#1', 'start exp/b#0']);
    expect(flow()).toEqual(['m>proc#0>exp#0', 'l>proc#0>exp#0', 'l>proc#0>exp/b#0']);
    expect(world.log).toContain('error service exp/b#1 cannot start. Going back to the configuration before');
    expect(world.log.at(-1)).toBe(
      'error service c.yaml was not put to work: exp/b#1 cannot start. The one before stays',
    );
  });

  it('has the others stopped that have got data meanwhile, started or not: it is theirs to count', async () => {
    const text = CONFIG.replace('exp: , exp/b: }', 'exp: {tag: 1, start: fails}, exp/b: {tag: 1}, exp/c: {tag: 1}}');
    expect(await reload(text.replace('exp/b]', 'exp/b, exp/c]'))).toMatchObject({ ok: false });
    expect(world.take()).toEqual([
      ...['stop exp#0', 'stop exp/b#0', 'start exp#1'],
      ...['stop exp#1', 'stop exp/b#1', 'start exp#0', 'start exp/b#0'],
    ]);
    expect(flow()).toEqual(['m>proc#0>exp#0', 'l>proc#0>exp#0', 'l>proc#0>exp/b#0']);
  });

  it('leaves the rest as it was and can be mended', async () => {
    await reload(CONFIG.replace('proc: }', 'proc: {tag: 1, start: fails}}'));
    expect(world.take()).toEqual(['start proc#1', 'stop proc#1']);
    expect(flow()).toEqual(['m>proc#0>exp#0', 'l>proc#0>exp#0', 'l>proc#0>exp/b#0']);
    expect(await reload(CONFIG.replace('proc: }', 'proc: {tag: 2}}'))).toMatchObject({ ok: true });
    world.take();
    expect(flow()).toEqual(['m>proc#2>exp#0', 'l>proc#2>exp#0', 'l>proc#2>exp/b#0']);
  });

  it('brings a removed receiver back, too', async () => {
    const withSecond = (section: string, id: string) =>
      CONFIG.replace('rec: }', `rec: , ${id}: ${section}}`).replace(
        'metrics: {receivers: [rec]',
        `metrics: {receivers: [rec, ${id}]`,
      );
    world = new World();
    await running(withSecond('', 'rec/2'));
    expect(await reload(withSecond('{start: fails}', 'rec/3'))).toMatchObject({ ok: false });
    expect(world.take()).toEqual(['stop rec/2#0', 'start rec/3#0', 'stop rec/3#0', 'start rec/2#0']);
    world.outputs.get('rec/2')!.metrics!.consume('n');
    expect(world.take()).toEqual(['n>proc#0>exp#0']);
  });

  it('and whose predecessor does not come back ends the agent', async () => {
    world = new World();
    await running(CONFIG.replace('exp/b: }', 'exp/b: {port: 5}}'));
    // The successor takes the port and does not let go of it.
    await reload(
      CONFIG.replace('exp/b: }', 'exp/b: {port: 5, tag: 1, stop: fails}, exp/c: {start: fails}}').replace(
        'exp/b]',
        'exp/b, exp/c]',
      ),
    );
    expect((await world.service.failure).message).toBe('exp/b#0 finds port 5 taken');
  });
});

describe('what needs a restart', () => {
  it('is a changed receiver: it goes on, with a warning that names the keys', async () => {
    const changed = CONFIG.replace('rec: }', 'rec: {tag: 3, port: 4}}').replace('exp/b: ', 'exp/b: {tag: 1}');
    const warning = 'receivers.rec: port, tag changed. A receiver changes only with a restart; it goes on as it was.';
    expect(await reload(changed)).toEqual({ ok: true, changed: true, warnings: [warning] });
    expect(world.take()).toEqual(['stop exp/b#0', 'start exp/b#1']);
    expect(world.log).toContain(`warn service ${warning}`);
    expect(await reload(changed)).toEqual({ ok: true, changed: false, warnings: [warning] });
    expect(world.log.at(-1)).toBe('info service c.yaml is read again: nothing else changed');
  });

  it('is an extension that a running receiver uses', async () => {
    world = new World();
    const withExtension = (section: string) =>
      `${CONFIG.replace('rec: }', 'rec: {storage: ext}}')}extensions: {ext: ${section}}\n`;
    await running(withExtension(''));
    expect(await reload(withExtension('{tag: 1}'))).toMatchObject({
      changed: false,
      warnings: ['extensions.ext: changed, but a running receiver uses it: restart the agent. It goes on as it was.'],
    });
    expect(await reload(CONFIG)).toMatchObject({
      warnings: [
        'receivers.rec: storage changed. A receiver changes only with a restart; it goes on as it was.',
        'extensions.ext: was removed, but a running receiver uses it: restart the agent. It goes on as it was.',
      ],
    });
    expect(world.take()).toEqual([]);
  });
});

it('replaces who uses a replaced extension', async () => {
  world = new World();
  const withExtension = (section: string) =>
    `${CONFIG.replace('exp/b: }', 'exp/b: {storage: ext}}')}extensions: {ext: ${section}}\n`;
  await running(withExtension(''));
  await reload(withExtension('{tag: 1}'));
  expect(world.take()).toEqual(['stop exp/b#0', 'stop ext#0', 'start ext#1', 'start exp/b#0 with ext there']);
});

it('changes the log level without touching a component', async () => {
  expect(await reload(CONFIG.replace('service:\n', 'service:\n  telemetry: {logs: {level: debug}}\n'))).toMatchObject({
    changed: true,
  });
  expect(world.take()).toEqual([]);
  await reload(
    CONFIG.replace('service:\n', 'service:\n  telemetry: {logs: {level: debug}}\n').replace(
      'exp/b: ',
      'exp/b: {tag: 1}',
    ),
  );
  expect(world.log).toContain('debug service Starting the exporter exp/b');
});

it('does one reload after the other', async () => {
  world.text = CONFIG.replace('exp/b: ', 'exp/b: {tag: 1}');
  const results = await Promise.all([world.service.reload(), world.service.reload()]);
  expect(results).toMatchObject([{ changed: true }, { changed: false }]);
});

it('is given up when the agent is told to stop meanwhile, and nothing stays behind', async () => {
  world.text = CONFIG.replace('proc: }', 'proc: {tag: 1, start: hangs}}');
  const result = world.service.reload();
  while (!world.events.includes('start proc#1')) await new Promise(setImmediate);
  await world.service.shutdown();
  expect(await result).toEqual({ ok: false, reasons: ['The agent is stopping'] });
  expect(world.take()).toEqual([
    'start proc#1',
    'stop rec#0',
    'stop proc#0',
    'stop proc#1',
    'stop exp#0',
    'stop exp/b#0',
  ]);
});
