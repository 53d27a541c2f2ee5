/** Which records are asked about, and what they are told by the answer. */
import { describe, expect, it } from 'vitest';
import { CONFIRM_MS } from '../../../src/identity/conntrack/backends.ts';
import { TCP_STATE } from '../../../src/identity/conntrack/messages.ts';
import type { WorkloadObject } from '../../../src/identity/objects.ts';
import type { ConnectionRecord } from '../../../src/receiver/types.ts';
import { batchOf, type PairTexts, recordOf, SENT, service, workload } from '../fakes.ts';
import { createRig, RESOLVE_TIMEOUT_MS, type RigOptions } from '../rig.ts';
import { FakeConntrackKernel } from './fake-kernel.ts';

const VIP = '10.96.0.1';
const PORT = 80;
const TARGET = 8080;
const NODE = '192.0.2.1';
const SHOP = service({
  hostname: 'shop.default.svc',
  vips: [{ network: '', address: VIP, length: 32 }],
  ports: new Map([[PORT, TARGET]]),
});
const backend = (name: string, address: string, owner = name): WorkloadObject => {
  const object = workload({ uid: name, addresses: [address], services: new Map([[SHOP.key, new Map()]]) });
  return { ...object, fields: { ...object.fields, name: owner, podName: `${name}-pod` } };
};
const client = workload({ uid: 'client', addresses: ['10.0.0.1'] });
const V1 = '10.0.1.1';
const V2 = '10.0.1.2';

interface Options extends Omit<RigOptions, 'conntrack'> {
  readonly backends?: readonly WorkloadObject[];
  readonly asks?: boolean;
}

function create({ backends = [backend('v1', V1), backend('v2', V2)], asks = true, ...options }: Options = {}) {
  const kernel = new FakeConntrackKernel();
  const rig = createRig({ ...options, ...(asks && { conntrack: kernel }) });
  const { clock, source, logs, records } = rig;
  const shelf = rig.shelf('file');
  for (const object of [client, ...backends]) shelf.upsertWorkload(object);
  shelf.upsertService(SHOP);
  return {
    ...rig,
    kernel,
    shelf,
    pair: (fields: PairTexts = {}) => source.add(clock, { remoteAddress: VIP, servicePort: PORT, ...fields }),
    log: (...batch: ConnectionRecord[]) => logs.consume({ source, records: batch }),
    /** Destination's name and pod, service. */
    told: () => {
      clock.advance(CONFIRM_MS);
      return records.lines.map(({ peers: { destination, service } }) => [
        destination?.name,
        destination?.podName,
        service?.hostname,
      ]);
    },
  };
}

const at = (address: string, port = TARGET) => ({ address, port });
const unnamed = [undefined, undefined, 'shop.default.svc'];
const v1 = ['v1', 'v1-pod', 'shop.default.svc'];
const v2 = ['v2', 'v2-pod', 'shop.default.svc'];

describe('connections through a VIP with two workloads behind it', () => {
  it('name each its own; the same backend by the same object, and nothing else is other', () => {
    const { pair, kernel, log, told, records, found } = create();
    const shop = pair();
    const batch = [1, 2, 3, 4, 5].map((localPort) => recordOf(shop, { localPort, connectionId: localPort }));
    for (const record of batch) kernel.track(record, at(record.localPort % 2 === 1 ? V1 : V2));
    log(...batch.slice(0, 4));
    log(...batch.slice(4));
    expect(told()).toEqual([v1, v2, v1, v2, v1]);
    const peers = records.lines.map((line) => line.peers);
    expect(new Set(peers).size).toBe(2);
    expect(peers[4]).toBe(peers[0]);
    expect(peers[0]).toMatchObject({ reporter: 'source', source: { name: 'client' }, securityPolicy: 'unknown' });
    expect(records.lines.map(({ record }) => record)).toEqual(batch);
    expect(found).toEqual(new Map([['translated', 5]]));
  });

  it('metrics name none', () => {
    const { pair, kernel, clock, source, metrics, pairs, log, told } = create();
    const shop = pair();
    const record = recordOf(shop);
    kernel.track(record, at(V1));
    log(record);
    metrics.consume(batchOf(source, clock.bootNs, [[shop, { [SENT]: 1 }]]));
    expect(told()).toEqual([v1]);
    expect(pairs.rows[0]!.peers.destination).toBeUndefined();
  });

  it('IPv6', () => {
    const address = 'fd00::60';
    const six = [backend('v1', 'fd00::1'), backend('v2', 'fd00::2')];
    const { pair, kernel, shelf, log, told } = create({ backends: six });
    shelf.upsertService({ ...SHOP, vips: [{ network: '', address, length: 128 }] });
    shelf.upsertWorkload(workload({ uid: 'client-6', addresses: ['fd00::c'] }));
    const record = recordOf(pair({ localAddress: 'fd00::c', remoteAddress: address }));
    kernel.track(record, at('fd00::2'));
    log(record);
    expect(told()).toEqual([v2]);
  });

  it('name none where conntrack has no entry, an address nobody has, or the VIP itself', () => {
    const { pair, kernel, log, told, found } = create();
    const shop = pair();
    const [absent, strange, plain] = [1, 2, 3].map((localPort) =>
      recordOf(shop, { localPort, connectionId: localPort }),
    );
    kernel.track(strange!, at('10.0.9.9'));
    kernel.track(plain!, at(VIP, PORT));
    log(absent!, strange!, plain!);
    expect(told()).toEqual([unnamed, unnamed, unnamed]);
    expect(found).toEqual(
      new Map([
        ['none', 1],
        ['translated', 1],
        ['untranslated', 1],
      ]),
    );
  });

  it('name nobody by an address of the host', () => {
    const { pair, kernel, log, told } = create({
      backends: [backend('v1', V1), { ...backend('v2', V2), hostNetwork: true }],
    });
    const record = recordOf(pair());
    kernel.track(record, at(V2));
    log(record);
    expect(told()).toEqual([unnamed]);
  });

  it('name who had the address when the connection was opened', () => {
    const { pair, kernel, clock, shelf, log, told } = create();
    const shop = pair();
    const [before, after] = [1, 2].map((localPort) => {
      const record = recordOf(shop, { localPort, connectionId: localPort, openedNs: clock.bootNs });
      kernel.track(record, at(V1));
      clock.advance(1_000);
      shelf.removeWorkload('v1');
      shelf.upsertWorkload(backend('heir', V1, 'v3'));
      clock.advance(1_000);
      return record;
    });
    log(before!, after!);
    expect(told()).toEqual([v1, ['v3', 'heir-pod', 'shop.default.svc']]);
  });

  it('records of a slot that waits are asked about when they come, and named when it has its labels', () => {
    const { pair, kernel, clock, cgroups, log, told } = create();
    cgroups.lookingFor.add(9);
    const shop = pair({ cgroupId: 9 });
    const record = recordOf(shop);
    kernel.track(record, at(V2));
    log(record);
    expect(told()).toEqual([]);
    kernel.track(record, at(V1), TCP_STATE.established);
    clock.advance(RESOLVE_TIMEOUT_MS);
    expect(told()).toEqual([v2]);
    expect(kernel.asked).toHaveLength(1);
  });

  it('and so are those that come before a source has its state', () => {
    const kernel = new FakeConntrackKernel();
    const rig = createRig({ conntrack: kernel, synced: false });
    const record = recordOf(rig.source.add(rig.clock, { remoteAddress: VIP, servicePort: PORT }));
    kernel.track(record, at(V2));
    rig.logs.consume({ source: rig.source, records: [record] });
    for (const object of [client, backend('v1', V1), backend('v2', V2)]) rig.shelf('file').upsertWorkload(object);
    rig.shelf('file').upsertService(SHOP);
    rig.shelf('file').markSynced();
    rig.clock.advance(1 + CONFIRM_MS);
    expect(rig.records.lines.map(({ peers }) => peers.destination?.name)).toEqual(['v2']);
  });

  it('labels that an earlier agent remembered are no hindrance', () => {
    const { pair, kernel, source, clock, log, told } = create();
    const first = pair({ slot: 1 });
    log(recordOf(first));
    const again = pair({ slot: 2 });
    source.recallable.set('2/1', source.remembered.get('1/1')!);
    const records = [1, 2].map((localPort) => recordOf(again, { localPort, connectionId: localPort }));
    for (const record of records) kernel.track(record, at(V1));
    log(records[0]!);
    clock.advance(1);
    log(records[1]!);
    expect(told().at(-1)).toEqual(v1);
  });

  it('without a kernel to ask it is as before', () => {
    const { pair, log, told } = create({ asks: false });
    log(recordOf(pair()));
    expect(told()).toEqual([unnamed]);
  });
});

describe('an entry of another connection', () => {
  const { synSent, synReceived, established, finWait, closeWait, lastAck, timeWait, close, synSentTwice } = TCP_STATE;
  const all = Object.values(TCP_STATE);
  const over = [finWait, closeWait, lastAck, timeWait, close];

  it.each<[string, Partial<ConnectionRecord>, readonly number[]]>([
    ['closed', { event: 'close', closeReason: 'normal' }, over],
    ['reset', { event: 'close', closeReason: 'peer_reset' }, over],
    ['given up, of which no packet tells', { event: 'close', closeReason: 'timeout' }, [established, ...over]],
    ['never established', { event: 'fail', closeReason: undefined }, [synSent, synReceived, close, synSentTwice]],
    ['just opened', { event: 'open', closeReason: undefined }, [synReceived, established, ...over]],
  ])('%s: is told by its state', (_, fields, own) => {
    const { pair, kernel, log, told, found } = create();
    const shop = pair();
    for (const state of all) {
      const record = recordOf(shop, { ...fields, localPort: 1_000 + state, connectionId: state });
      kernel.track(record, at(V1), state);
      log(record);
    }
    expect(told()).toEqual(all.map((state) => (own.includes(state) ? v1 : unnamed)));
    expect(found.get('other_connection')).toBe(all.length - own.length);
  });

  it('is the last one’s of those in one batch with the same ports', () => {
    const { pair, kernel, log, told } = create();
    const shop = pair();
    const [first, open, last] = [
      recordOf(shop, { connectionId: 1 }),
      recordOf(shop, { connectionId: 2, event: 'open', closeReason: undefined }),
      recordOf(shop, { connectionId: 2 }),
    ];
    kernel.track(last!, at(V2));
    log(first!, open!, last!);
    expect(told()).toEqual([unnamed, v2, v2]);
  });
});

describe('an answer', () => {
  it('is kept back until no other connection’s record can contradict it', () => {
    const { pair, kernel, clock, log, told, records, found } = create();
    const shop = pair();
    const [first, next, later] = [1, 2, 3].map((connectionId) => recordOf(shop, { connectionId }));
    const other = recordOf(shop, { connectionId: 4, localPort: 50_000 });
    for (const record of [first!, other]) kernel.track(record, at(V1));
    log(first!, other);
    clock.advance(CONFIRM_MS - 1);
    expect(records.lines).toEqual([]);
    log(next!);
    clock.advance(1);
    expect(records.lines.map(({ record }) => record.connectionId)).toEqual([1, 4]);
    expect(told()).toEqual([unnamed, v1, v1]);
    log(later!);
    expect(told()).toEqual([unnamed, v1, v1, v1]);
    expect(found).toEqual(
      new Map([
        ['other_connection', 1],
        ['translated', 3],
      ]),
    );
  });

  it('goes on at once when all has to', () => {
    const { pair, kernel, clock, log, logs, records } = create();
    const record = recordOf(pair());
    kernel.track(record, at(V1));
    log(record);
    logs.flush();
    expect(records.lines.map(({ peers }) => peers.destination?.name)).toEqual(['v1']);
    clock.advance(CONFIRM_MS);
    expect(records.lines).toHaveLength(1);
  });
});

describe('nobody is asked', () => {
  it.each<[string, Options, PairTexts, Partial<ConnectionRecord>]>([
    ['where the backend shows', {}, { remoteAddress: V1, servicePort: TARGET }, {}],
    ['where one pod alone is behind the VIP', { backends: [backend('v1', V1)] }, {}, {}],
    ['by the server’s end', {}, { role: 'destination', localAddress: V1, remoteAddress: '10.0.0.1' }, {}],
    ['where the other end is anybody', {}, { remoteAddress: '198.51.100.7' }, {}],
    ['on loopback', { nodeAddresses: ['127.0.0.1'] }, { remoteAddress: '127.0.0.1' }, {}],
    ['about a connect that got no port', {}, {}, { event: 'fail', localPort: 0 }],
    ['where the slots had run out', {}, { kind: 'coarse', remoteAddress: '' }, {}],
    ['about the other end of a node’s address that is known', { nodeAddresses: [V1] }, { remoteAddress: V1 }, {}],
  ])('%s', (_, options, of, fields) => {
    const { pair, kernel, clock, log, records } = create(options);
    log(recordOf(pair(of), fields));
    clock.advance(RESOLVE_TIMEOUT_MS);
    expect(records.lines).toHaveLength(1);
    expect(kernel.asked).toEqual([]);
  });
});

describe('other translations', () => {
  it('pods of one workload: the record has the pod', () => {
    const twins = [backend('a', V1, 'shop'), backend('b', V2, 'shop')];
    const { pair, kernel, log, told } = create({ backends: twins });
    const shop = pair();
    const [first, second, lost] = [1, 2, 3].map((localPort) => recordOf(shop, { localPort, connectionId: localPort }));
    kernel.track(first!, at(V1));
    kernel.track(second!, at(V2));
    log(first!, second!, lost!);
    expect(told()).toEqual([
      ['shop', 'a-pod', 'shop.default.svc'],
      ['shop', 'b-pod', 'shop.default.svc'],
      ['shop', undefined, 'shop.default.svc'],
    ]);
  });

  it('a second pod comes and goes without another name for the pair', () => {
    const nameless = { ...backend('a', V1, 'shop'), uid: 'a' };
    const twin = { ...nameless, uid: 'b', addresses: [V2] };
    const { pair, kernel, clock, shelf, log } = create({ backends: [nameless] });
    const shop = pair();
    log(recordOf(shop));
    expect(kernel.asked).toHaveLength(0);
    shelf.upsertWorkload(twin);
    clock.advance(1);
    log(recordOf(shop));
    expect(kernel.asked).toHaveLength(1);
    shelf.removeWorkload('b');
    clock.advance(1);
    log(recordOf(shop));
    expect(kernel.asked).toHaveLength(1);
  });

  it('a port of the node: the backend and its service by the target port', () => {
    const { pair, kernel, clock, log, told } = create({ nodeAddresses: [NODE] });
    const record = recordOf(pair({ remoteAddress: NODE, servicePort: 30_080 }));
    kernel.track(record, at(V1));
    log(record);
    clock.advance(RESOLVE_TIMEOUT_MS);
    expect(told()).toEqual([v1]);
  });

  it('a source that learns on demand is asked for the backend', () => {
    const { pair, kernel, log, told, shelf, wanted } = create({ backends: [] });
    const record = recordOf(pair());
    kernel.track(record, at(V2));
    log(record);
    expect(told()).toEqual([unnamed]);
    expect(wanted).toContain(V2);
    shelf.upsertWorkload(backend('v1', V1));
    shelf.upsertWorkload(backend('v2', V2));
    log(recordOf(pair({ slot: 77 })));
    expect(told().at(-1)).toEqual(v2);
  });
});
