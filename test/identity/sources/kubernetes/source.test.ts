import { describe, expect, it } from 'vitest';
import { addressOf } from '../../../../src/semconv/address.ts';
import { deploymentPod, namespace, node, pod, service, slice } from './support/objects.ts';
import { startServer, startSource } from './support/rig.ts';
import type { ScriptedServer } from './support/scripted-server.ts';
import { until } from './support/until.ts';

/** Eight pods: three pages. */
async function cluster(): Promise<ScriptedServer> {
  const server = await startServer();
  for (let i = 1; i <= 8; i++) server.put('pods', pod(`pod-${i}`, { ip: `10.0.0.${i}` }));
  return server;
}

describe('a first list', () => {
  it('fills the directory, page by page, and then the source is synced', async () => {
    const server = await startServer();
    const reviews = deploymentPod('reviews-v1', 'abcde', {
      ip: '10.0.0.7',
      serviceAccount: 'reviews',
      labels: { version: 'v1' },
    });
    for (let i = 1; i <= 7; i++) server.put('pods', pod(`pod-${i}`, { ip: `10.0.1.${i}` }));
    server.put('pods', reviews);
    server.put('services', service('reviews', { clusterIps: ['10.96.0.7'] }));
    server.put('endpointslices', slice('reviews', [reviews]));
    server.put(
      'nodes',
      node('node-1', { 'topology.kubernetes.io/region': 'eu-1', 'topology.kubernetes.io/zone': 'eu-1b' }),
    );
    server.put('namespaces', namespace('default'));
    const { source, shelf, at } = await startSource(server, { config: { cluster_id: 'c1', trust_domain: 'td' } });
    expect(source.missing()).toContain('not listed yet');
    await until(() => shelf.synced);
    expect(source.missing()).toBeUndefined();
    expect(shelf.workloadCount).toBe(8);
    expect(at('10.0.1.7')).toBe('pod-7');
    const holder = shelf.byAddress(addressOf('10.0.0.7'), undefined)!;
    expect(holder.workload).toEqual({
      name: 'reviews-v1',
      namespace: 'default',
      podName: 'reviews-v1-7656cf8794-abcde',
      podUid: 'uid-reviews-v1-7656cf8794-abcde',
      containerId: undefined,
      canonicalService: 'reviews-v1',
      canonicalRevision: 'v1',
      principal: 'spiffe://td/ns/default/sa/reviews',
      cluster: 'c1',
      region: 'eu-1',
      zone: 'eu-1b',
      node: 'node-1',
      goneSinceMs: undefined,
    });
    expect(holder.backed.byTargetPort(8080)).toEqual({
      hostname: 'reviews.default.svc.cluster.local',
      name: 'reviews',
      namespace: 'default',
    });
    const pages = server.asked
      .filter(({ verb, resource }) => verb === 'list' && resource === 'pods')
      .map(({ query }) => String(query).replace(/%40\d+$/, '@version'));
    expect(pages).toEqual(['limit=3&resourceVersion=0', 'limit=3&continue=3@version', 'limit=3&continue=6@version']);
    await until(() => server.count('watch', 'pods') > 0);
    const watch = server.asked.find(({ verb, resource }) => verb === 'watch' && resource === 'pods')!.query;
    expect(watch.get('allowWatchBookmarks')).toBe('true');
    expect(Number(watch.get('timeoutSeconds'))).toBeGreaterThanOrEqual(300);
  });

  it('is begun again when a page has expired', async () => {
    const server = await cluster();
    let page = 0;
    server.scripts.push(({ verb, resource }) => {
      if (verb === 'list' && resource === 'pods' && ++page === 2) server.compact();
      return undefined;
    });
    const { shelf, failures } = await startSource(server);
    await until(() => shelf.synced);
    expect(shelf.workloadCount).toBe(8);
    // One more for each resource that was between its list and its watch.
    expect(failures('expired')).toBeGreaterThanOrEqual(1);
    // Never again from a cache that may be as old.
    const firstPages = server.asked.filter(
      ({ verb, resource, query }) => verb === 'list' && resource === 'pods' && !query.has('continue'),
    );
    expect(firstPages.map(({ query }) => query.get('resourceVersion'))).toEqual(['0', null]);
  });

  it.each([
    [
      'cut off amid a page',
      { body: '{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"uid":"u","name":"n"', cut: true },
      'cut_off',
    ],
    [
      'a page that ends early',
      { body: '{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"uid":"u","name":"n"}}' },
      'malformed',
    ],
    ['no JSON', { body: '<html>a proxy</html>' }, 'malformed'],
    ['an item that is no JSON', { body: '{"metadata":{"resourceVersion":"7"},"items":[{"a":bad}]}' }, 'malformed'],
    ['HTTP 500', { status: 500, body: 'etcd is away' }, 'server'],
    ['a redirection', { status: 302, headers: { location: 'http://127.0.0.1:1/' } }, 'server'],
    ['HTTP 429', { status: 429, headers: { 'retry-after': '0' }, body: { message: 'slow down' } }, 'overloaded'],
    ['HTTP 503', { status: 503, body: { message: 'starting' } }, 'overloaded'],
  ])('is tried again after %s', async (_case, answer, reason) => {
    const server = await cluster();
    server.once('list', 'pods', answer);
    const { shelf, failures } = await startSource(server);
    await until(() => shelf.synced);
    expect(shelf.workloadCount).toBe(8);
    expect(failures(reason)).toBe(1);
  });

  it('that falls silent is begun again, before and amid the answer', async () => {
    const server = await cluster();
    server.once('list', 'pods', { stall: true });
    server.once('list', 'pods', { stall: true, body: '{"metadata":' });
    const { shelf, failures, logger } = await startSource(server, { timing: { listIdleMs: 400 } });
    await until(() => shelf.synced);
    expect(shelf.workloadCount).toBe(8);
    expect(failures('stalled')).toBe(2);
    expect(logger.lines.filter((line) => line.includes('was silent for 0.4 s (list pods)'))).toHaveLength(1);
  });

  it('waits as long as the server asks for', async () => {
    const server = await cluster();
    server.once('list', 'pods', { status: 429, headers: { 'retry-after': '1' } });
    const began = Date.now();
    const { shelf } = await startSource(server);
    await until(() => shelf.synced);
    expect(Date.now() - began).toBeGreaterThanOrEqual(990);
  });

  it('passes over objects that are none, and counts them', async () => {
    const server = await cluster();
    server.put('pods', { metadata: { name: 'no-uid' } });
    server.put('pods', { ...pod('odd', { uid: 'odd' }), spec: 'text', status: [1] });
    server.put('pods', { metadata: { name: 'huge', uid: 'huge' }, padding: 'x'.repeat(9 * 2 ** 20) });
    server.put('pods', pod('last', { ip: '10.0.0.99' }));
    const { shelf, malformed, at } = await startSource(server);
    await until(() => shelf.synced);
    expect(shelf.workloadCount).toBe(10);
    expect(at('10.0.0.99')).toBe('last');
    expect(malformed('pods')).toBe(2);
  });
});

describe('a watch', () => {
  async function watched(options: Parameters<typeof startSource>[1] = {}) {
    const server = await cluster();
    const rig = await startSource(server, options);
    await until(() => rig.shelf.synced && server.watchCount('pods') === 1);
    return { server, ...rig };
  }

  it('brings what is added, changed and removed', async () => {
    const { server, shelf, at } = await watched();
    server.put('pods', pod('new', { ip: '10.0.0.20' }));
    await until(() => at('10.0.0.20') === 'new');
    server.put('pods', pod('new', { ip: '10.0.0.21' }));
    await until(() => at('10.0.0.21') === 'new');
    expect(at('10.0.0.20')).toBeUndefined();
    server.remove('pods', pod('new'));
    await until(() => at('10.0.0.21') === undefined);
    expect(shelf.workloadCount).toBe(8);
  });

  it('that ends by an error each time, before any event, is followed by a list', async () => {
    const { server, at, lists, failures } = await watched();
    server.removeSilently('pods', pod('pod-1'));
    const listed = server.count('list', 'pods');
    const status = { kind: 'Status', code: 500, message: 'etcd event received with PrevKv=nil' };
    const error = `${JSON.stringify({ type: 'ERROR', object: status })}\n`;
    server.scripts.push(({ verb, resource }) =>
      verb === 'watch' && resource === 'pods' && server.count('list', 'pods') === listed ? { body: error } : undefined,
    );
    server.dropWatches('pods');
    await until(() => lists('pods') === 2);
    expect([at('10.0.0.1'), failures('server')]).toEqual([undefined, 4]);
    await until(() => server.watchCount('pods') === 1);
  });

  it('removes by uid: an earlier pod of the same name takes nothing from a later one', async () => {
    const { server, at } = await watched();
    server.put('pods', pod('web-0', { uid: 'second', ip: '10.0.0.30' }));
    await until(() => at('10.0.0.30') === 'web-0');
    const late = { type: 'DELETED', object: pod('web-0', { uid: 'first', ip: '10.0.0.30' }) };
    server.send('pods', `${JSON.stringify(late)}\n`);
    server.put('pods', pod('after', { ip: '10.0.0.31' }));
    await until(() => at('10.0.0.31') === 'after');
    expect(at('10.0.0.30')).toBe('web-0');
  });

  it.each([
    ['ended by the server', (server: ScriptedServer) => server.endWatches('pods')],
    ['cut off', (server: ScriptedServer) => server.dropWatches('pods')],
    ['told of an error', (server: ScriptedServer) => server.error('pods', 500, 'etcd is away')],
    ['told to slow down', (server: ScriptedServer) => server.error('pods', 429, 'slow down')],
  ])('that is %s goes on from where it stood', async (_case, end) => {
    const { server, lists, at, logger } = await watched();
    const told = logger.lines.length;
    server.put('pods', pod('before', { ip: '10.0.0.40' }));
    await until(() => at('10.0.0.40') === 'before');
    end(server);
    server.put('pods', pod('meanwhile', { ip: '10.0.0.41' }));
    server.removeSilently('pods', pod('nothing'));
    await until(() => at('10.0.0.41') === 'meanwhile');
    expect(lists('pods')).toBe(1);
    expect(server.count('list', 'pods')).toBe(3);
    // A server that is restarted is nothing to be woken for.
    expect(logger.lines.slice(told).filter((line) => line.startsWith('error'))).toEqual([]);
  });

  it('goes on from a bookmark, however much was forgotten before it', async () => {
    const { server, lists, at } = await watched();
    server.compact();
    server.bookmark('pods');
    server.put('services', service('marker', { clusterIps: ['10.96.0.1'] }));
    server.endWatches('pods');
    await until(() => server.count('watch', 'pods') === 2);
    server.put('pods', pod('later', { ip: '10.0.0.42' }));
    await until(() => at('10.0.0.42') === 'later');
    expect(lists('pods')).toBe(1);
  });

  it.each([
    ['an answer', (server: ScriptedServer) => server.endWatches('pods')],
    ['an event', (server: ScriptedServer) => server.error('pods', 410, 'too old resource version')],
  ])('whose version is gone (%s) is begun with a new list, and what it lacks is removed', async (_case, end) => {
    const { server, lists, at } = await watched();
    server.removeSilently('pods', pod('pod-3'));
    server.put('nodes', node('node-9'));
    server.compact();
    end(server);
    await until(() => lists('pods') === 2);
    await until(() => at('10.0.0.3') === undefined);
    expect(at('10.0.0.4')).toBe('pod-4');
    server.put('pods', pod('later', { ip: '10.0.0.43' }));
    await until(() => at('10.0.0.43') === 'later');
  });

  it('that falls silent is taken up again', async () => {
    const { server, at, lists, failures } = await watched({ timing: { watchIdleMs: 60 } });
    server.stallWatches('pods');
    server.put('pods', pod('unheard', { ip: '10.0.0.44' }));
    await until(() => at('10.0.0.44') === 'unheard');
    expect(failures('stalled')).toBeGreaterThan(0);
    expect(lists('pods')).toBe(1);
  });

  it('that outlives its own end is cut off from here', async () => {
    const { server, at } = await watched({ timing: { watchSeconds: 0, watchGraceMs: 60 } });
    const trickle = setInterval(() => server.bookmark('pods'), 5);
    try {
      await until(() => server.count('watch', 'pods') >= 3);
    } finally {
      clearInterval(trickle);
    }
    server.put('pods', pod('later', { ip: '10.0.0.45' }));
    await until(() => at('10.0.0.45') === 'later');
  });

  it.each([
    ['no JSON', 'garbage\n'],
    ['JSON that is no event', '5\n'],
    ['an event of no known type', '{"type":"RENAMED","object":{}}\n'],
    ['half an event', `{"type":"ADDED","object":{"metadata":\n`],
  ])('that says %s is begun with a new list: something was lost', async (_case, bytes) => {
    const { server, lists, at, failures } = await watched();
    server.removeSilently('pods', pod('pod-2'));
    server.send('pods', bytes);
    await until(() => lists('pods') === 2 && at('10.0.0.2') === undefined);
    expect(failures('malformed')).toBe(1);
  });

  it('may come in pieces', async () => {
    const { server, at } = await watched();
    const text = `${JSON.stringify({ type: 'ADDED', object: pod('pieces', { ip: '10.0.0.46', labels: { app: 'ü' } }) })}\n`;
    for (const byte of Buffer.from(text)) server.send('pods', Buffer.from([byte]));
    await until(() => at('10.0.0.46') === 'pieces');
  });

  it('passes over an object that is none, and one that is no object, and counts both', async () => {
    const { server, at, malformed } = await watched();
    server.send(
      'pods',
      '{"type":"ADDED","object":{"metadata":{}}}\n{"type":"DELETED","object":{"metadata":{"name":"x"}}}\n',
    );
    server.put('pods', pod('after', { ip: '10.0.0.47' }));
    await until(() => at('10.0.0.47') === 'after');
    expect(malformed('pods')).toBe(2);
  });

  it('that the server ends as soon as it begins is not begun in a hurry', async () => {
    const { server, failures } = await watched({ timing: { shortWatchMs: 60_000, healthyWatchMs: 60_000 } });
    server.endWatches('pods');
    await until(() => failures('server') === 1);
  });
});

describe('an API server that is away', () => {
  it('leaves the last state standing, and is taken up again', async () => {
    const server = await cluster();
    const { source, shelf, at, logger } = await startSource(server);
    await until(() => shelf.synced && server.watchCount('pods') === 1);
    const port = Number(new URL(server.url).port);
    await server.stop();
    await until(() => logger.lines.some((line) => line.includes('cannot reach the API server')));
    expect(at('10.0.0.1')).toBe('pod-1');
    expect(source.missing()).toBeUndefined();
    await server.start(port);
    server.put('pods', pod('later', { ip: '10.0.0.50' }));
    await until(() => at('10.0.0.50') === 'later');
    expect(logger.lines.filter((line) => line.includes('cannot reach'))).toHaveLength(1);
    expect(logger.lines).toContain('info the API server answers again');
  });

  it('at the start is what is missing', async () => {
    const server = await cluster();
    const port = Number(new URL(server.url).port);
    const { url } = server;
    server.scripts.push(() => ({ cut: true, status: 500, body: 'x' }));
    const { source, shelf, failures, readiness } = await startSource(server);
    await until(() => failures('cut_off') + failures('server') > 5);
    expect(source.missing()).toContain('not listed yet: ');
    expect(readiness.at(-1)).toBe(source.missing());
    expect(source.missing()).toContain(url);
    expect(port).toBeGreaterThan(0);
    expect(shelf.synced).toBe(false);
    server.scripts.length = 0;
    await until(() => shelf.synced);
    expect(source.missing()).toBeUndefined();
  });
});

it('tells reasons that take turns once each', async () => {
  const server = await cluster();
  let asked = 0;
  server.scripts.push(({ resource }) =>
    resource === 'pods' ? { status: 500, body: { message: `reason ${asked++ % 2}` } } : undefined,
  );
  const { logger } = await startSource(server);
  await until(() => asked > 8);
  const told = logger.lines.filter((line) => line.includes('reason'));
  expect(told).toEqual([expect.stringContaining('reason 0'), expect.stringContaining('reason 1')]);
});

describe('what the account may not do', () => {
  const forbidden = (verb: string, resource: string) => ({
    status: 403,
    body: { kind: 'Status', message: `${resource} is forbidden: User "agent" cannot ${verb} resource "${resource}"` },
  });

  it('is told by verb and resource, and everything else is served', async () => {
    const server = await cluster();
    let denied = true;
    server.put('services', service('web', { clusterIps: ['10.96.0.9'] }));
    server.scripts.push(({ verb, resource }) =>
      denied && resource === 'endpointslices' ? forbidden(verb, resource) : undefined,
    );
    const { source, shelf, logger, readiness, at } = await startSource(server);
    await until(() => shelf.synced);
    expect(at('10.0.0.1')).toBe('pod-1');
    expect(shelf.services.byAddress('', addressOf('10.96.0.9'), undefined)?.service.name).toBe('web');
    expect(source.missing()).toMatch(
      /^not allowed to list endpointslices \(403, .*\)\. Grant the verbs list and watch on endpointslices in the API group "discovery\.k8s\.io"/,
    );
    denied = false;
    await until(() => source.missing() === undefined);
    expect(readiness.at(-1)).toBeUndefined();
    expect(logger.lines.filter((line) => line.startsWith('error not allowed to list endpointslices'))).toHaveLength(1);
    expect(logger.lines).toContain('info endpointslices can be read now');
  });

  it('may be the watch alone: then lists go on', async () => {
    const server = await cluster();
    let denied = true;
    server.scripts.push(({ verb, resource }) =>
      denied && verb === 'watch' && resource === 'pods' ? forbidden(verb, resource) : undefined,
    );
    const { source, shelf, at, logger, readiness } = await startSource(server);
    await until(() => shelf.synced && source.missing() !== undefined);
    const told = readiness.length;
    expect(at('10.0.0.1')).toBe('pod-1');
    expect(source.missing()).toContain('not allowed to watch pods');
    server.put('pods', pod('later', { ip: '10.0.0.51' }));
    server.removeSilently('pods', pod('pod-1'));
    await until(() => at('10.0.0.51') === 'later' && at('10.0.0.1') === undefined);
    // A list is no proof that the watch is allowed.
    const isWord = (line: string) => line.includes('pods');
    expect(logger.lines.filter(isWord)).toEqual([expect.stringMatching(/^error not allowed to watch pods/)]);
    expect(readiness.slice(told).filter((lacks) => lacks === undefined)).toEqual([]);
    denied = false;
    await until(() => source.missing() === undefined);
    expect(logger.lines.filter(isWord).at(-1)).toBe('info pods can be read now');
  });

  it('may be lost for the moment in which a server begins: the watch goes on', async () => {
    const server = await cluster();
    const { source, shelf, at, lists, failures } = await startSource(server);
    await until(() => shelf.synced && server.watchCount('pods') === 1);
    server.once('watch', 'pods', forbidden('watch', 'pods'));
    server.once('watch', 'pods', forbidden('watch', 'pods'));
    server.endWatches('pods');
    server.put('pods', pod('later', { ip: '10.0.0.52' }));
    await until(() => at('10.0.0.52') === 'later');
    expect([failures('forbidden'), lists('pods'), source.missing()]).toEqual([2, 1, undefined]);
  });

  it('may be lost later: the last state stays', async () => {
    const server = await cluster();
    const { source, shelf, at, readiness } = await startSource(server);
    await until(() => shelf.synced && server.watchCount('pods') === 1);
    server.scripts.push(({ verb, resource }) => (resource === 'pods' ? forbidden(verb, resource) : undefined));
    server.endWatches('pods');
    await until(() => readiness.at(-1)?.includes('not allowed to watch pods') === true);
    expect(source.missing()).toBe(readiness.at(-1));
    expect(at('10.0.0.1')).toBe('pod-1');
  });

  it('a resource that the server does not have is done without', async () => {
    const server = await cluster();
    server.scripts.push(({ resource }) =>
      resource === 'endpointslices' ? { status: 404, body: '404 page not found' } : undefined,
    );
    const { source, shelf } = await startSource(server);
    await until(() => shelf.synced);
    expect(source.missing()).toContain('cannot list endpointslices: the API server has no such resource');
  });
});

describe('tokens', () => {
  it('are read again at each attempt', async () => {
    const server = await cluster();
    server.tokens = new Set(['second']);
    let token = 'first';
    const { shelf, failures, logger, source } = await startSource(server, { access: async () => ({ token }) });
    await until(() => failures('unauthorized') >= 5);
    expect(source.missing()).toContain('does not accept the token of the test (401, Unauthorized). Renew it');
    token = 'second';
    await until(() => shelf.synced);
    expect(logger.lines.filter((line) => line.startsWith('error the API server does not accept'))).toHaveLength(1);
  });

  it('that cannot be read leave the state standing', async () => {
    const server = await cluster();
    let broken = false;
    const access = async () => {
      if (broken) throw new Error('cannot read the token');
      return {};
    };
    const { shelf, at, failures } = await startSource(server, { access });
    await until(() => shelf.synced && server.watchCount('pods') === 1);
    broken = true;
    server.endWatches('pods');
    await until(() => failures('credentials') > 0);
    expect(at('10.0.0.1')).toBe('pod-1');
    broken = false;
    server.put('pods', pod('later', { ip: '10.0.0.60' }));
    await until(() => at('10.0.0.60') === 'later');
  });

  it('with what cannot be sent are told as what they are', async () => {
    const server = await cluster();
    const { source, failures } = await startSource(server, { access: async () => ({ token: 'two\nlines' }) });
    await until(() => failures('credentials') >= 5);
    expect(source.missing()).toContain('the test: Invalid character in header content ["authorization"]');
  });
});

it('counts its objects by kind and tells how old its news are', async () => {
  const server = await cluster();
  server.put('nodes', node('node-1'));
  const { shelf, telemetry } = await startSource(server);
  await until(() => shelf.synced);
  expect(telemetry.observed('tcpledger_identity_objects')).toEqual({
    'kubernetes/pod': 8,
    'kubernetes/endpointslice': 0,
    'kubernetes/node': 1,
    'kubernetes/namespace': 0,
  });
  expect(Object.keys(telemetry.observed('tcpledger_identity_last_message_age_seconds'))).toEqual(['kubernetes']);
});

it('leaves nothing open when it stops', async () => {
  const server = await cluster();
  const { source, shelf } = await startSource(server);
  await until(() => shelf.synced && server.watchCount('pods') === 1);
  await source.shutdown();
  await until(() => server.watchCount('pods') + server.watchCount('nodes') === 0);
  const asked = server.asked.length;
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(server.asked).toHaveLength(asked);
});
