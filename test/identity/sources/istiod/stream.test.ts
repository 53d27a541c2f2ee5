/** What is said over the streams of the workload API, and what the directory holds then. */

import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { addressOf } from '../../../../src/semconv/address.ts';
import {
  type DeltaRequest,
  type DiscoveryServer,
  type DiscoveryServerOptions,
  discoveryServer,
  type ServerStream,
} from '../xds/support/discovery-server.ts';
import { encode } from '../xds/support/protobuf.ts';
import {
  ADDRESS_TYPE,
  broken,
  createRig,
  eventually,
  ip,
  istiodConfig,
  pod,
  type Rig,
  resource,
  response,
  service,
  serviceKey,
  serviceResource,
  uidOf,
  workload,
} from './support/rig.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(options: DiscoveryServerOptions = {}): Promise<DiscoveryServer> {
  const server = await discoveryServer(options);
  cleanups.push(() => server.close());
  return server;
}

async function start(port: number, more: Parameters<typeof istiodConfig>[1] = {}): Promise<Rig> {
  const rig = createRig(istiodConfig(port, more));
  cleanups.push(() => rig.source.shutdown());
  await rig.source.start();
  return rig;
}

/** Answers the first request of each stream with what `state` gives. */
const answering =
  (state: (request: DeltaRequest, stream: ServerStream) => object) =>
  (stream: ServerStream, request: DeltaRequest): void => {
    if (stream.requests.length === 1) stream.respond(state(request, stream));
  };

const isAnswer = (request: DeltaRequest) => request.responseNonce !== '';
const answers = ({ requests }: ServerStream) => requests.filter(isAnswer);

describe('a wildcard subscription', () => {
  it('says who asks, asks for everything, and acknowledges', async () => {
    const first = response([pod('web', '10.0.0.1'), serviceResource('web', '10.96.0.1')]);
    const server = await serve({ onRequest: answering(() => first) });
    const rig = await start(server.port, { cluster_id: 'east', network: 'net1' });
    await eventually(() => answers(server.streams[0]!)).toHaveLength(1);
    const [request, ack] = server.streams[0]!.requests;
    expect(request).toMatchObject({
      typeUrl: ADDRESS_TYPE,
      resourceNamesSubscribe: [],
      resourceNamesUnsubscribe: [],
      initialResourceVersions: {},
      responseNonce: '',
      node: { id: 'ztunnel~192.0.2.7~tcpledger-abc.observability~observability.svc.cluster.local' },
    });
    const metadata = Object.fromEntries(
      Object.entries(request!.node!.metadata.fields).map(([key, { stringValue }]) => [key, stringValue]),
    );
    expect(metadata).toEqual({
      NAME: 'tcpledger-abc',
      NAMESPACE: 'observability',
      INSTANCE_IPS: '192.0.2.7',
      NODE_NAME: 'node-1',
      CLUSTER_ID: 'east',
      NETWORK: 'net1',
      DNS_CAPTURE: 'true',
    });
    expect(server.streams[0]!.metadata.get('clusterid')).toEqual(['east']);
    expect(server.streams[0]!.metadata.get('authorization')).toEqual([]);
    expect(ack).toMatchObject({ typeUrl: ADDRESS_TYPE, responseNonce: first.nonce, resourceNamesSubscribe: [] });
    expect(ack!.errorDetail).toBeNull();
    expect(rig.source.missing()).toBeUndefined();
  });

  it('is not ready until it has been answered, and says so', async () => {
    const server = await serve();
    const rig = await start(server.port);
    expect(rig.source.missing()).toBe(`127.0.0.1:${server.port} has not told its state`);
    await eventually(() => server.streams[0]?.requests).toHaveLength(1);
    expect(rig.telemetry.observed('tcpledger_identity_connected')).toEqual({ istiod: 0 });
    server.streams[0]!.respond(response([]));
    await eventually(() => rig.source.missing()).toBeUndefined();
    expect(rig.telemetry.observed('tcpledger_identity_connected')).toEqual({ istiod: 1 });
    expect(rig.telemetry.observed('tcpledger_identity_last_message_age_seconds').istiod).toBeGreaterThanOrEqual(0);
  });

  it('follows changes: added, changed, moved, removed by name and by alias', async () => {
    const server = await serve({
      onRequest: answering(() =>
        response([pod('a', '10.0.0.1'), pod('b', '10.0.0.2'), pod('c', '10.0.0.3'), serviceResource('s', '10.96.0.1')]),
      ),
    });
    const rig = await start(server.port);
    await eventually(() => rig.at('10.0.0.3')).toBe('c');
    const [stream] = server.streams;
    stream!.respond(response([pod('a', '10.0.0.9'), pod('d', '10.0.0.4')], [uidOf('b')]));
    await eventually(() => rig.at('10.0.0.4')).toBe('d');
    expect(['10.0.0.1', '10.0.0.2', '10.0.0.9'].map(rig.at)).toEqual([undefined, undefined, 'a']);
    stream!.respond(
      response([], [serviceKey('s'), '/10.0.0.3', 'Kubernetes//Pod/shop/never-was', 'elsewhere/10.0.0.4']),
    );
    // Names are taken out one by one: all are when it answers.
    await eventually(() => answers(stream!)).toHaveLength(3);
    expect(rig.serviceAt('10.96.0.1')).toBeUndefined();
    expect(['10.0.0.3', '10.0.0.4'].map(rig.at)).toEqual([undefined, 'd']);
    stream!.respond(response([serviceResource('s', '10.96.0.1')]));
    stream!.respond(response([], ['/10.96.0.1']));
    await eventually(() => answers(stream!)).toHaveLength(5);
    expect(rig.serviceAt('10.96.0.1')).toBeUndefined();
    expect(rig.source.shelf.workloadCount).toBe(2);
  });

  it('hands an address over within one message', async () => {
    const server = await serve({ onRequest: answering(() => response([pod('a', '10.0.0.1')])) });
    const rig = await start(server.port);
    await eventually(() => rig.at('10.0.0.1')).toBe('a');
    server.streams[0]!.respond(response([pod('b', '10.0.0.1')], [uidOf('a')]));
    await eventually(() => rig.at('10.0.0.1')).toBe('b');
    await eventually(() => rig.source.shelf.workloadCount).toBe(1);
  });

  it('does not give a shared address of the host network to anybody', async () => {
    const hostNetwork = { networkMode: 1 };
    const first = response([pod('x', '192.0.2.1', '', hostNetwork), pod('y', '192.0.2.1', '', hostNetwork)]);
    const server = await serve({ onRequest: answering(() => first) });
    const rig = await start(server.port);
    await eventually(() => rig.source.shelf.workloadCount).toBe(2);
    expect(rig.at('192.0.2.1')).toBeUndefined();
  });

  it('lets a name be another kind of thing', async () => {
    const name = serviceKey('s');
    const server = await serve({ onRequest: answering(() => response([resource(name, workload('a', '10.0.0.1'))])) });
    const rig = await start(server.port);
    await eventually(() => rig.at('10.0.0.1')).toBe('a');
    const [stream] = server.streams;
    stream!.respond(response([resource(name, service('s', '10.96.0.1'))]));
    await eventually(() => rig.serviceAt('10.96.0.1')).toBe('s.shop.svc.cluster.local');
    expect(rig.at('10.0.0.1')).toBeUndefined();
    stream!.respond(response([resource(name, workload('a', '10.0.0.1'))]));
    await eventually(() => rig.at('10.0.0.1')).toBe('a');
    expect(rig.source.shelf.services.size).toBe(0);
  });
});

describe('a resource that cannot be used', () => {
  it('is named in the refusal, the others are applied, and a new stream does not declare it (case 38)', async () => {
    const names = Array.from({ length: 10 }, (_, i) => `w${i}`);
    const server = await serve({
      onRequest: answering(() =>
        response(
          names.map((name, i) =>
            i === 4 ? broken(uidOf(name), workload(name, `10.0.0.${i}`)) : pod(name, `10.0.0.${i}`, `v-${name}`),
          ),
        ),
      ),
    });
    const rig = await start(server.port);
    await eventually(() => answers(server.streams[0]!)).toHaveLength(1);
    const [nack] = answers(server.streams[0]!);
    expect(nack!.errorDetail!.code).toBe(status.INVALID_ARGUMENT);
    expect(nack!.errorDetail!.message).toMatch(/^Kubernetes\/\/Pod\/shop\/w4-abcde: field \d+ is said to be/);
    expect(names.map((_, i) => rig.at(`10.0.0.${i}`))).toEqual(names.map((name, i) => (i === 4 ? undefined : name)));
    expect(rig.source.missing()).toBeUndefined();
    expect(rig.counter('tcpledger_identity_nacks')).toBe(1);
    expect(rig.logger.lines.find((line) => line.startsWith('warn'))).toContain('refused 1 of 10 resources');
    server.streams[0]!.end();
    await eventually(() => server.streams[1]?.requests).toHaveLength(2);
    expect(server.streams[1]!.requests[0]!.initialResourceVersions).toEqual(
      Object.fromEntries(names.filter((name) => name !== 'w4').map((name) => [uidOf(name), `v-${name}`])),
    );
  });

  it('leaves its last good version in force, which goes when a new stream has it no more', async () => {
    const server = await serve({
      onRequest: answering((_request, stream) =>
        stream === server.streams[0] ? response([pod('a', '10.0.0.1', '1'), pod('b', '10.0.0.2', '1')]) : response([]),
      ),
    });
    const rig = await start(server.port);
    await eventually(() => rig.at('10.0.0.1')).toBe('a');
    server.streams[0]!.respond(response([broken(uidOf('a'), workload('a', '10.0.0.7'))]));
    await eventually(() => answers(server.streams[0]!)).toHaveLength(2);
    expect(rig.at('10.0.0.1')).toBe('a');
    server.streams[0]!.end();
    await eventually(() => rig.at('10.0.0.1')).toBeUndefined();
    expect(Object.keys(server.streams[1]!.requests[0]!.initialResourceVersions)).toEqual([uidOf('b')]);
    expect(rig.at('10.0.0.2')).toBe('b');
  });

  it('may lack its name, its value or its type', async () => {
    const server = await serve({
      onRequest: answering(() =>
        response([
          { resource: { typeUrl: ADDRESS_TYPE, value: encode('Address', workload('a', '10.0.0.1')) } },
          { name: 'empty' },
          { name: 'other', resource: { typeUrl: 'type.googleapis.com/other', value: Buffer.alloc(0) } },
          { name: 'nothing', resource: { typeUrl: ADDRESS_TYPE } },
          pod('good', '10.0.0.2'),
        ]),
      ),
    });
    const rig = await start(server.port);
    await eventually(() => rig.at('10.0.0.2')).toBe('good');
    await eventually(() => answers(server.streams[0]!)).toHaveLength(1);
    expect(answers(server.streams[0]!)[0]!.errorDetail!.message).toBe(
      '(resource 1, without a name): it has no name; ' +
        `empty: it is not of the type ${ADDRESS_TYPE}; other: it is not of the type ${ADDRESS_TYPE}; ` +
        'nothing: neither a workload nor a service',
    );
  });

  it('does not make a refusal too long to be sent', async () => {
    const many = Array.from({ length: 2_000 }, (_, i) => ({ name: `bad-${i}` }));
    const server = await serve({ onRequest: answering(() => response(many)) });
    const rig = await start(server.port);
    await eventually(() => answers(server.streams[0]!)).toHaveLength(1);
    expect(answers(server.streams[0]!)[0]!.errorDetail!.message).toMatch(/; and 1950 more$/);
    expect(rig.source.missing()).toBeUndefined();
  });
});

describe('a new stream', () => {
  const state = [pod('a', '10.0.0.1', 'v1'), pod('b', '10.0.0.2', 'v1'), serviceResource('s', '10.96.0.1', 'v1')];

  it('declares what is known; what a server that has versions does not tell again stays', async () => {
    const server = await serve({
      onRequest: answering((request) =>
        Object.keys(request.initialResourceVersions).length === 0
          ? response(state)
          : response([pod('c', '10.0.0.3', 'v1')], [uidOf('b')]),
      ),
    });
    const rig = await start(server.port);
    await eventually(() => rig.at('10.0.0.1')).toBe('a');
    server.streams[0]!.end();
    await eventually(() => rig.at('10.0.0.3')).toBe('c');
    expect(server.streams[1]!.requests[0]!.initialResourceVersions).toEqual({
      [uidOf('a')]: 'v1',
      [uidOf('b')]: 'v1',
      [serviceKey('s')]: 'v1',
    });
    await eventually(() => rig.at('10.0.0.2')).toBeUndefined();
    expect([rig.at('10.0.0.1'), rig.serviceAt('10.96.0.1')]).toEqual(['a', 's.shop.svc.cluster.local']);
  });

  it('lives with a server that sets no versions and tells all again', async () => {
    const unversioned = (names: string[]) => names.map((name) => pod(name, `10.0.0.${name.charCodeAt(0)}`));
    const server = await serve({
      onRequest: answering((request) =>
        uidOf('a') in request.initialResourceVersions
          ? response(unversioned(['a', 'c']), [uidOf('b')])
          : response(unversioned(['a', 'b'])),
      ),
    });
    const rig = await start(server.port);
    await eventually(() => rig.at('10.0.0.98')).toBe('b');
    const held = rig.source.shelf.workload(uidOf('a'));
    server.streams[0]!.end();
    await eventually(() => rig.at('10.0.0.99')).toBe('c');
    expect(server.streams[1]!.requests[0]!.initialResourceVersions).toEqual({ [uidOf('a')]: '', [uidOf('b')]: '' });
    await eventually(() => rig.at('10.0.0.98')).toBeUndefined();
    // What is told again as it is, is the same object: no connection gets a new name for it.
    expect(rig.source.shelf.workload(uidOf('a'))).toBe(held);
  });

  it('does not look again at a version that is held', async () => {
    const server = await serve({
      onRequest: answering((_request, stream) =>
        stream === server.streams[0]
          ? response([pod('a', '10.0.0.1', 'v1')])
          : response([{ ...(pod('a', '10.0.0.2', 'v1') as object) }, pod('b', '10.0.0.3', 'v1')]),
      ),
    });
    const rig = await start(server.port);
    await eventually(() => rig.at('10.0.0.1')).toBe('a');
    server.streams[0]!.end();
    await eventually(() => rig.at('10.0.0.3')).toBe('b');
    expect(rig.at('10.0.0.1')).toBe('a');
  });

  it('is opened again and again while the control plane is away; what is known stays, and is told', async () => {
    const first = await discoveryServer({ onRequest: answering(() => response(state)) });
    const rig = await start(first.port);
    await eventually(() => rig.at('10.0.0.1')).toBe('a');
    first.close();
    await eventually(() => rig.counter('tcpledger_identity_reconnects')).toBeGreaterThanOrEqual(4);
    expect(rig.at('10.0.0.1')).toBe('a');
    expect(rig.source.missing()).toBeUndefined();
    expect(rig.telemetry.observed('tcpledger_identity_connected')).toEqual({ istiod: 0 });
    const second = await serve({ port: first.port, onRequest: answering(() => response([], [uidOf('a')])) });
    await eventually(() => rig.at('10.0.0.1')).toBeUndefined();
    expect(second.streams).toHaveLength(1);
    await eventually(() => rig.telemetry.observed('tcpledger_identity_connected')).toEqual({ istiod: 1 });
    const told = rig.logger.lines;
    expect(told[0]).toBe(`info connected to 127.0.0.1:${first.port}`);
    expect(told[1]).toMatch(/^info .*; connecting again, what is known stays$/);
    // Once for the reason, not once for each attempt.
    expect(told.filter((line) => line.includes('nobody listens'))).toHaveLength(1);
    expect(told.at(-1)).toBe(`info connected again to 127.0.0.1:${first.port}`);
  });

  it('is opened when a stream breaks off within a message; what came of it is declared', async () => {
    const whole = encode('DeltaDiscoveryResponse', response(state));
    const server = await serve({
      onRequest: answering((_request, stream) => {
        if (stream === server.streams[0]) return response(state);
        return response([]);
      }),
    });
    const rig = await start(server.port);
    await eventually(() => rig.at('10.0.0.1')).toBe('a');
    server.streams[0]!.write(whole.subarray(0, -2));
    await eventually(() => server.streams[1]?.requests).toHaveLength(2);
    expect(Object.keys(server.streams[1]!.requests[0]!.initialResourceVersions)).toHaveLength(3);
    expect(rig.logger.lines.some((line) => line.includes('makes no sense'))).toBe(true);
    expect(rig.at('10.0.0.1')).toBe('a');
  });

  it('is opened when a response is of another type', async () => {
    const server = await serve({
      onRequest: answering((_request, stream) =>
        stream === server.streams[0]
          ? { typeUrl: 'type.googleapis.com/envoy.config.cluster.v3.Cluster', nonce: 'n' }
          : response(state),
      ),
    });
    const rig = await start(server.port);
    await eventually(() => rig.at('10.0.0.1')).toBe('a');
    expect(rig.logger.lines[0]).toContain('a response of the type type.googleapis.com/envoy.config.cluster.v3.Cluster');
  });

  it('does not declare so much that istiod would not take it; what is not told again is gone', async () => {
    // Names of 200 bytes: 3.5 MiB are passed at some 17,000.
    const name = (i: number) => `${String(i).padStart(6, '0')}/${'x'.repeat(193)}`;
    const many = (count: number) =>
      Array.from({ length: count }, (_, i) =>
        resource(name(i), { workload: { name: `w${i}`, addresses: [Buffer.from([10, 1, i >> 8, i & 255])] } }, 'v'),
      );
    const server = await serve({
      onRequest: answering((_request, stream) => response(stream === server.streams[0] ? many(20_000) : many(19_999))),
    });
    const rig = await start(server.port);
    await eventually(() => rig.source.missing()).toBeUndefined();
    expect(rig.source.shelf.workloadCount).toBe(20_000);
    server.streams[0]!.end();
    await eventually(() => rig.source.shelf.workloadCount).toBe(19_999);
    expect(server.streams[1]!.requests[0]!.initialResourceVersions).toEqual({});
    expect(rig.at('10.1.0.7')).toBe('w7');
  });

  it('is not opened after shutdown', async () => {
    const server = await serve({ onRequest: answering(() => response(state)) });
    const rig = await start(server.port);
    await eventually(() => rig.at('10.0.0.1')).toBe('a');
    await rig.source.shutdown();
    await eventually(() => server.streams[0]!.ended).toBe(true);
    expect(server.streams).toHaveLength(1);
    expect(rig.telemetry.observed('tcpledger_identity_connected')).toEqual({});
  });

  it('can be shut down before it is there, and while it waits for the next', async () => {
    const server = await discoveryServer();
    const opening = createRig(istiodConfig(server.port));
    await opening.source.start();
    await opening.source.shutdown();
    server.close();
    const waiting = createRig(istiodConfig(server.port));
    await waiting.source.start();
    await eventually(() => waiting.logger.lines).toHaveLength(1);
    await waiting.source.shutdown();
    expect(waiting.source.missing()).toContain('nobody listens');
  });
});

describe('a large mesh', () => {
  it('comes in one message, in slices', async () => {
    const count = 20_000;
    const resources = Array.from({ length: count }, (_, i) => {
      const address = Buffer.from([10, 2 + (i >> 16), (i >> 8) & 255, i & 255]);
      return resource(uidOf(`w${i}`), workload(`w${i}`, '0.0.0.0', { addresses: [address] }), `v${i}`);
    });
    const server = await serve({ onRequest: answering(() => response(resources)) });
    const rig = await start(server.port);
    let turns = 0;
    const counting = setInterval(() => turns++, 1);
    await eventually(() => rig.source.missing()).toBeUndefined();
    clearInterval(counting);
    expect(rig.source.shelf.workloadCount).toBe(count);
    expect(rig.at('10.2.78.31')).toBe('w19999');
    expect(turns).toBeGreaterThan(1);
    await eventually(() => answers(server.streams[0]!)).toHaveLength(1);
  });
});

describe('on demand', () => {
  /** A mesh that is asked by name, as istiod is: who is not there is in the removed ones. */
  function onDemand(mesh: () => Record<string, object[]>) {
    return (stream: ServerStream, request: DeltaRequest) => {
      if (isAnswer(request)) return;
      const names = request.resourceNamesSubscribe.filter((name) => name !== '*');
      const found = names.flatMap((name) => mesh()[name] ?? []);
      stream.respond(
        response(
          [...new Set(found)],
          names.filter((name) => !(name in mesh())),
        ),
      );
    };
  }

  it('asks for what lookups miss, and for the services of what it gets', async () => {
    const services = { [serviceKey('web')]: { ports: [{ servicePort: 80, targetPort: 8080 }] } };
    const web = pod('web', '10.0.0.1', '', { services });
    const webService = serviceResource('web', '10.96.0.1');
    const mesh = { '/10.0.0.1': [web], [serviceKey('web')]: [webService, web] };
    const server = await serve({ onRequest: onDemand(() => mesh) });
    const rig = await start(server.port, { on_demand: true });
    await eventually(() => rig.source.missing()).toBeUndefined();
    const [stream] = server.streams;
    expect(stream!.requests[0]).toMatchObject({ resourceNamesSubscribe: ['*'], resourceNamesUnsubscribe: ['*'] });
    rig.source.wants!(addressOf('10.0.0.1'));
    rig.source.wants!(addressOf('10.0.0.1'));
    rig.source.wants!(addressOf('127.0.0.1'));
    rig.source.wants!(addressOf(''));
    await eventually(() => rig.at('10.0.0.1')).toBe('web');
    await eventually(() => rig.serviceAt('10.96.0.1')).toBe('web.shop.svc.cluster.local');
    expect(stream!.requests.flatMap((request) => request.resourceNamesSubscribe)).toEqual([
      '*',
      '/10.0.0.1',
      serviceKey('web'),
    ]);
  });

  it('declares all of it to a new stream', async () => {
    const mesh = { '/10.0.0.1': [pod('a', '10.0.0.1', 'v1')] };
    const server = await serve({ onRequest: onDemand(() => mesh) });
    const rig = await start(server.port, { on_demand: true });
    await eventually(() => server.streams[0]?.requests.length).toBeGreaterThanOrEqual(2);
    rig.source.wants!(addressOf('10.0.0.1'));
    rig.source.wants!(addressOf('10.0.0.2'));
    await eventually(() => rig.at('10.0.0.1')).toBe('a');
    server.streams[0]!.end();
    await expect
      .poll(() => server.streams[1]?.requests[0])
      .toMatchObject({
        resourceNamesSubscribe: ['*', '/10.0.0.1', '/10.0.0.2'],
        resourceNamesUnsubscribe: ['*'],
        initialResourceVersions: { [uidOf('a')]: 'v1' },
      });
    expect(rig.at('10.0.0.1')).toBe('a');
  });
});

it('takes addresses as they are in this network only', async () => {
  const elsewhere = pod('far', '10.0.0.1', '', { network: 'net2' });
  const here = pod('near', '10.0.0.1', '', { network: 'net1' });
  const vip = { addresses: [{ network: 'net1', address: ip('10.96.0.1') }] };
  const server = await serve({
    onRequest: answering(() => response([elsewhere, here, serviceResource('s', '0.0.0.0', '', vip)])),
  });
  const rig = await start(server.port, { network: 'net1' });
  await eventually(() => rig.serviceAt('10.96.0.1')).toBe('s.shop.svc.cluster.local');
  expect(rig.at('10.0.0.1')).toBe('near');
});
