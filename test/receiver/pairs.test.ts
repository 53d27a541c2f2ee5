import { expect, test } from 'vitest';
import { createPairReader } from '../../src/receiver/pairs.ts';
import { addressText } from '../../src/semconv/address.ts';
import { FakeKernel, type PairKey } from './fake-kernel.ts';

function read(kernel: FakeKernel, slot: number) {
  const pair = createPairReader(kernel.slots, kernel.layouts.slot, kernel.layouts.pair)(slot);
  const { localAddress, remoteAddress, dialledAddress } = pair;
  return {
    ...pair,
    localAddress: addressText(localAddress),
    remoteAddress: addressText(remoteAddress),
    dialledAddress: addressText(dialledAddress),
  };
}

test('a pair has every field of its slot', () => {
  const kernel = new FakeKernel();
  kernel.nowNs = 5e18;
  const slot = kernel.slotOf({
    local: '192.0.2.1',
    remote: '2001:db8::1:0:0:1',
    servicePort: 65535,
    role: 'destination',
    cgroupId: 2n ** 53n - 1n,
    netns: 2 ** 32 - 1,
    comm: 'nginx',
    dialled: { ip: '10.96.0.10', port: 443 },
  });
  expect(slot).toBe(2);
  kernel.bytes(slot).writeUInt32LE(7, kernel.layouts.slot.offset('generation'));
  expect(read(kernel, slot)).toEqual({
    slot: 2,
    generation: 7,
    kind: 'pair',
    role: 'destination',
    localAddress: '192.0.2.1',
    remoteAddress: '2001:db8::1:0:0:1',
    servicePort: 65535,
    cgroupId: 2 ** 53 - 1,
    netns: 2 ** 32 - 1,
    executable: 'nginx',
    dialledAddress: '10.96.0.10',
    dialledPort: 443,
    createdNs: 5e18,
  });
});

test.for([
  ['127.0.0.1', '255.255.255.255'],
  ['::1', '::'],
  ['fe80::1', '2001:db8:0:1:1:1:1:1'],
])('addresses %s and %s', ([local, remote]) => {
  const kernel = new FakeKernel();
  const slot = kernel.slotOf({ local: local!, remote: remote! });
  expect(read(kernel, slot)).toMatchObject({ localAddress: local, remoteAddress: remote });
});

test.for<[string | Buffer, string]>([
  ['', ''],
  ['sixteen-bytes-ok', 'sixteen-bytes-ok'],
  ['żółw', 'żółw'],
  [Buffer.from('0123456789abcde\u00e9'), '0123456789abcde\ufffd'],
])('executable %j', ([comm, executable]) => {
  const kernel = new FakeKernel();
  expect(read(kernel, kernel.slotOf({ comm })).executable).toBe(executable);
});

test('the roles of both ends', () => {
  const kernel = new FakeKernel();
  const source: PairKey = { role: 'source' };
  expect(read(kernel, kernel.slotOf(source)).role).toBe('source');
  expect(read(kernel, kernel.slotOf({ ...source, role: 'destination' })).role).toBe('destination');
});

test('a coarse slot keeps the local end and leaves the remote one out', () => {
  const kernel = new FakeKernel({ slotCount: 16 });
  for (let i = 0; i < 12; i++) kernel.slotOf({ remote: `10.1.0.${i}` });
  const slot = kernel.slotOf({ remote: '10.9.9.9', role: 'destination', comm: 'sshd' });
  expect(slot).toBe(kernel.coarseBase);
  expect(read(kernel, slot)).toMatchObject({
    kind: 'coarse',
    role: 'destination',
    localAddress: '10.0.0.1',
    remoteAddress: '',
    executable: 'sshd',
  });
});

test('slots 0 and 1 belong to nobody, one for each role', () => {
  const kernel = new FakeKernel();
  const nobody = { generation: 0, kind: 'unattributed', localAddress: '', remoteAddress: '', servicePort: 0, netns: 0 };
  expect(read(kernel, 0)).toMatchObject({ ...nobody, slot: 0, role: 'source', executable: '', cgroupId: 0 });
  expect(read(kernel, 1)).toMatchObject({ ...nobody, slot: 1, role: 'destination', executable: '', createdNs: 0 });
});
