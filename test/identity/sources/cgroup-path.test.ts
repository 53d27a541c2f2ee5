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
