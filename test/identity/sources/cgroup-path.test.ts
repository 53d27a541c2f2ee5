import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cgroupOwner } from '../../../src/identity/sources/cgroup-path.ts';
import { hostWorkload } from '../../../src/identity/sources/host.ts';

const UID = '2c48913c-b29f-11e7-9350-020968147796';
const UNDERSCORED = UID.replaceAll('-', '_');
const STATIC = '0123456789abcdef0123456789abcdef';
const ID = '9bca8d63d5fa610783847915bcff0ecac1273e5b4bed3f6fa1b07350e0135961';
const OTHER = 'a'.repeat(64);

describe('pods and containers', () => {
  it.each([
    ['cgroupfs', `/kubepods/besteffort/pod${UID}/${ID}`, UID, ID],
    ['cgroupfs, guaranteed', `/kubepods/pod${UID}/${ID}`, UID, ID],
    [
      'systemd, containerd',
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${UNDERSCORED}.slice/cri-containerd-${ID}.scope`,
      UID,
      ID,
    ],
    ['systemd, cri-o', `/kubepods.slice/kubepods-pod${UNDERSCORED}.slice/crio-${ID}.scope`, UID, ID],
    ['systemd, cri-o, within', `/kubepods.slice/kubepods-pod${UNDERSCORED}.slice/crio-${ID}.scope/container`, UID, ID],
    ['systemd, docker', `/kubepods.slice/kubepods-pod${UNDERSCORED}.slice/docker-${ID}.scope`, UID, ID],
    ['cri-o conmon', `/kubepods.slice/kubepods-pod${UNDERSCORED}.slice/crio-conmon-${ID}.scope`, UID, undefined],
    [
      'kind, nested',
      `/docker/${OTHER}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${UNDERSCORED}.slice/cri-containerd-${ID}.scope`,
      UID,
      ID,
    ],
    [
      'nested pods: the last',
      `/kubepods/pod11111111-2222-3333-4444-555555555555/${OTHER}/kubepods/pod${UID}/${ID}`,
      UID,
      ID,
    ],
    [
      'mismatched driver',
      `/system.slice/containerd.service/kubepods-burstable-pod${UNDERSCORED}.slice:cri-containerd:${ID}`,
      UID,
      ID,
    ],
    ['kind, nested, cgroupfs', `/docker/${OTHER}/kubelet/kubepods/besteffort/pod${UID}/${ID}`, UID, ID],
    [
      'minikube by podman, nested',
      `/machine.slice/libpod-${OTHER}.scope/kubepods.slice/kubepods-pod${UNDERSCORED}.slice/crio-${ID}.scope`,
      UID,
      ID,
    ],
    ['mismatched driver, at the root', `/kubepods-pod${UNDERSCORED}.slice:cri-containerd:${ID}`, UID, ID],
    ['mismatched driver, cri-o', `/kubepods-besteffort-pod${UNDERSCORED}.slice:crio:${ID}`, UID, ID],
    ['mismatched driver, docker', `/kubepods-besteffort-pod${UNDERSCORED}.slice:docker:${ID}`, UID, ID],
    ['docker, pods by systemd, plain', `/kubepods.slice/kubepods-pod${UNDERSCORED}.slice/${ID}`, UID, ID],
    ['within a container, its own cgroups', `/kubepods/pod${UID}/${ID}/init.scope/${OTHER}`, UID, ID],
    [
      'static pod, systemd',
      `/kubepods.slice/kubepods-burstable-pod${STATIC}.slice/cri-containerd-${ID}.scope`,
      STATIC,
      ID,
    ],
    ['upper case', `/kubepods/pod${UID.toUpperCase()}/${ID.toUpperCase()}`, UID, ID],
    ['relative', `/../../pod${UID}/${ID}`, UID, ID],
    ['relative, systemd', `/../kubepods-besteffort-pod${UNDERSCORED}.slice/cri-containerd-${ID}.scope`, UID, ID],
    ['static pod', `/kubepods/burstable/pod${STATIC}/${ID}`, STATIC, ID],
    ['the pod itself', `/kubepods/besteffort/pod${UID}`, UID, undefined],
    ['the pod itself, systemd', `/kubepods.slice/kubepods-pod${UNDERSCORED}.slice`, UID, undefined],
    ['docker, cgroupfs', `/docker/${ID}`, undefined, ID],
    ['docker, systemd', `/system.slice/docker-${ID}.scope`, undefined, ID],
    ['podman', `/machine.slice/libpod-${ID}.scope/container`, undefined, ID],
    ['no pod: too short', `/kubepods/pod${UID.slice(1)}`, undefined, undefined],
    ['no pod: runs on', `/kubepods/pod${UID}ff`, undefined, undefined],
    ['no container: too long', `/docker/${ID}0`, undefined, undefined],
    ['root', '/', undefined, undefined],
  ])('%s', (_, path, podUid, containerId) => {
    expect(cgroupOwner(path)).toMatchObject({ podUid, containerId });
  });
});

describe('any path', () => {
  const hex = (digits: number) =>
    fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: digits, maxLength: digits }).map((d) => d.join(''));
  const uuid = fc.tuple(hex(8), hex(4), hex(4), hex(4), hex(12)).map((parts) => parts.join('-'));
  const uid = fc.oneof(uuid, hex(32));
  const part = fc.oneof(
    fc.constantFrom('kubelet', 'kubepods.slice', 'system.slice', 'containerd.service', '..', 'podinfo', 'pods'),
    hex(64),
    hex(64).map((id) => `docker-${id}.scope`),
    uid.map((other) => `pod${other}`),
  );
  const prefix = fc.array(part, { maxLength: 4 }).map((parts) => parts.map((text) => `/${text}`).join(''));
  const pod = fc.constantFrom<(uid: string) => string>(
    (u) => `/kubepods/pod${u}`,
    (u) => `/kubepods/burstable/pod${u}`,
    (u) => `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${u.replaceAll('-', '_')}.slice`,
    (u) => `/kubelet-kubepods-pod${u.replaceAll('-', '_')}.slice`,
  );
  const container = fc.constantFrom<(id: string) => string>(
    (id) => `/${id}`,
    (id) => `/cri-containerd-${id}.scope`,
    (id) => `/crio-${id}.scope`,
    (id) => `/docker-${id}.scope`,
    (id) => `:cri-containerd:${id}`,
  );
  const below = fc.array(fc.constantFrom('init.scope', 'system.slice', 'nginx.service', ID), { maxLength: 3 });

  it('is the last pod in it, and the first container behind, wherever the tree hangs and whatever is below', () => {
    fc.assert(
      fc.property(prefix, pod, uid, container, hex(64), below, (before, podPath, podUid, inPod, id, rest) => {
        const path = `${before}${podPath(podUid)}${inPod(id)}${rest.map((text) => `/${text}`).join('')}`;
        expect(cgroupOwner(path)).toMatchObject({ podUid, containerId: id });
      }),
    );
  });

  it('is no pod without the whole of a UID, and never an error', () => {
    fc.assert(
      fc.property(fc.string(), uuid, (text, podUid) => {
        expect(cgroupOwner(`/kubepods/pod${podUid.slice(0, -1)}`).podUid).toBeUndefined();
        expect(cgroupOwner(`/kubepods/apod${podUid}`).podUid).toBeUndefined();
        expect(cgroupOwner(text).podUid === undefined || /[0-9a-f]{32}/i.test(text.replaceAll(/[-_]/g, ''))).toBe(true);
      }),
    );
  });
});

describe('host names', () => {
  it.each([
    ['/system.slice/nginx.service', 'nginx'],
    ['/system.slice/system-getty.slice/getty@tty1.service', 'getty@tty1'],
    ['/system.slice/nginx.service/workers', 'nginx'],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.service', 'app-firefox'],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope', 'user@1000'],
    ['/system.slice/run-u42.scope', 'run-u42'],
    ['/init.scope', 'init'],
    ['/user.slice/user-0.slice/session-3.scope', undefined],
    [`/system.slice/docker-${ID}.scope`, ID.slice(0, 12)],
    [`/docker/${ID}`, ID.slice(0, 12)],
    [`/system.slice/docker-${ID}.scope/system.slice/nginx.service`, 'nginx'],
    [`/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${ID}.scope/container`, ID.slice(0, 12)],
    [`/machine.slice/libpod-conmon-${ID}.scope`, undefined],
    ['/system.slice', undefined],
    ['/', undefined],
  ])('%s is %s', (path, name) => {
    expect(hostWorkload(path, 'node-1')?.name).toBe(name);
  });

  it('knows the host, and no namespace, revision, cluster or principal', () => {
    expect(hostWorkload('/system.slice/nginx.service', 'node-1')).toEqual({
      name: 'nginx',
      namespace: undefined,
      podName: undefined,
      podUid: undefined,
      containerId: undefined,
      canonicalService: 'nginx',
      canonicalRevision: undefined,
      principal: undefined,
      cluster: undefined,
      region: undefined,
      zone: undefined,
      node: 'node-1',
    });
  });
});
