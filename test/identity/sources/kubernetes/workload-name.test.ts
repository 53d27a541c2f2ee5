import { describe, expect, it } from 'vitest';
import { podNaming } from '../../../../src/identity/sources/kubernetes/workload-name.ts';

const HASH = '7656cf8794';

const owner = (kind: string, name: string, controller = true) => ({ kind, name, controller });

/** A pod made from a template by that owner. */
const made = (kind: string, name: string, labels: Record<string, unknown> = {}) => ({
  generateName: `${name}-`,
  ownerReferences: [owner(kind, name)],
  labels,
});

describe('workload name', () => {
  it.each([
    ['the pod itself', 'sleep', {}],
    ['no generateName: the pod, whoever owns it', 'sleep', { ownerReferences: [owner('ReplicaSet', 'x')], labels: {} }],
    ['an empty generateName is none', 'sleep', { generateName: '', ownerReferences: [owner('DaemonSet', 'x')] }],
    ['generateName without an owner', 'sleep', { generateName: 'sleep-' }],
    [
      'an owner that is no controller',
      'sleep',
      { generateName: 's-', ownerReferences: [owner('DaemonSet', 'x', false)] },
    ],
    [
      'an owner without a word about it',
      'sleep',
      { generateName: 's-', ownerReferences: [{ kind: 'DaemonSet', name: 'x' }] },
    ],
    [
      'an owner without a name',
      'sleep',
      { generateName: 's-', ownerReferences: [{ kind: 'DaemonSet', controller: true }] },
    ],
    [
      'the controller among several owners',
      'right',
      {
        generateName: 's-',
        ownerReferences: [owner('DaemonSet', 'wrong', false), owner('DaemonSet', 'right'), owner('DaemonSet', 'later')],
      },
    ],
    [
      'ReplicaSet with its hash: the Deployment',
      'reviews-v1',
      made('ReplicaSet', `reviews-v1-${HASH}`, { 'pod-template-hash': HASH }),
    ],
    ['ReplicaSet without the label', `reviews-v1-${HASH}`, made('ReplicaSet', `reviews-v1-${HASH}`)],
    [
      'ReplicaSet with an empty label',
      `reviews-v1-${HASH}`,
      made('ReplicaSet', `reviews-v1-${HASH}`, { 'pod-template-hash': '' }),
    ],
    [
      'ReplicaSet with another hash',
      `reviews-v1-${HASH}`,
      made('ReplicaSet', `reviews-v1-${HASH}`, { 'pod-template-hash': 'abc' }),
    ],
    [
      'a hash without a dash before it stays',
      `reviews${HASH}`,
      made('ReplicaSet', `reviews${HASH}`, { 'pod-template-hash': HASH }),
    ],
    ['a name that is nothing but the hash', 'sleep', made('ReplicaSet', `-${HASH}`, { 'pod-template-hash': HASH })],
    [
      'ReplicaSet of a Rollout',
      'reviews',
      made('ReplicaSet', `reviews-${HASH}`, { 'rollouts-pod-template-hash': HASH }),
    ],
    [
      "a Deployment's hash goes before a Rollout's",
      'a-r',
      made('ReplicaSet', 'a-r-d', { 'pod-template-hash': 'd', 'rollouts-pod-template-hash': 'r-d' }),
    ],
    [
      "a Rollout's hash where the Deployment's does not fit",
      'a',
      made('ReplicaSet', 'a-r', { 'pod-template-hash': 'd', 'rollouts-pod-template-hash': 'r' }),
    ],
    [
      'ReplicationController of a DeploymentConfig',
      'frontend',
      made('ReplicationController', 'frontend-3', { deploymentconfig: 'frontend' }),
    ],
    ['ReplicationController by itself', 'frontend-3', made('ReplicationController', 'frontend-3')],
    [
      'ReplicationController, empty label',
      'frontend-3',
      made('ReplicationController', 'frontend-3', { deploymentconfig: '' }),
    ],
    [
      'a deploymentconfig label under another kind',
      'set',
      made('StatefulSet', 'set', { deploymentconfig: 'frontend' }),
    ],
    ['Job of a CronJob, minutes', 'backup', made('Job', 'backup-27463580')],
    ['Job of a CronJob, 9 digits', 'backup', made('Job', 'backup-274635801')],
    ['Job of a CronJob, seconds', 'backup', made('Job', 'backup-1617895740')],
    ['Job with 7 digits', 'backup-1234567', made('Job', 'backup-1234567')],
    ['Job with 11 digits', 'backup-12345678901', made('Job', 'backup-12345678901')],
    ['Job with a date in the middle', 'backup-27463580-x', made('Job', 'backup-27463580-x')],
    ['Job with two dates: the last', 'backup-20260101', made('Job', 'backup-20260101-27463580')],
    ['Job that is all date', '-27463580', made('Job', '-27463580')],
    ['a CronJob name under another kind', 'backup-27463580', made('StatefulSet', 'backup-27463580')],
    ['StatefulSet as it is', 'web', made('StatefulSet', 'web')],
    ['DaemonSet as it is', 'agent', made('DaemonSet', 'agent')],
    ['a kind nobody knows, as it is', 'thing', made('Thing', 'thing', { 'pod-template-hash': 'thing' })],
    [
      'the override goes before the owner',
      'mine',
      made('ReplicaSet', `reviews-v1-${HASH}`, { 'pod-template-hash': HASH, 'service.istio.io/workload-name': 'mine' }),
    ],
    ["the override goes before the pod's name", 'mine', { labels: { 'service.istio.io/workload-name': 'mine' } }],
    ['an empty override names nobody', 'web', made('StatefulSet', 'web', { 'service.istio.io/workload-name': '' })],
    [
      'labels of the wrong type are none',
      'backup',
      made('Job', 'backup-27463580', { 'service.istio.io/workload-name': 5 }),
    ],
    ['owners of the wrong type are none', 'sleep', { generateName: 's-', ownerReferences: 'x', labels: ['x'] }],
  ])('%s', (_rule, expected, metadata) => {
    expect(podNaming('sleep', metadata).workload).toBe(expected);
  });
});

describe('canonical service and revision', () => {
  const NAME = 'service.istio.io/canonical-name';
  const REVISION = 'service.istio.io/canonical-revision';
  it.each([
    ['no labels', {}, 'sleep', 'latest'],
    ['app and version', { app: 'a', version: 'v' }, 'a', 'v'],
    [
      'the recommended labels go before',
      { app: 'a', version: 'v', 'app.kubernetes.io/name': 'k', 'app.kubernetes.io/version': 'kv' },
      'k',
      'kv',
    ],
    [
      "Istio's own go before all",
      {
        app: 'a',
        version: 'v',
        'app.kubernetes.io/name': 'k',
        'app.kubernetes.io/version': 'kv',
        [NAME]: 'i',
        [REVISION]: 'iv',
      },
      'i',
      'iv',
    ],
    ['each is looked for by itself', { app: 'a', [REVISION]: 'iv' }, 'a', 'iv'],
    [
      'present but empty wins, and names nobody',
      { app: 'a', version: 'v', [NAME]: '', [REVISION]: '' },
      undefined,
      undefined,
    ],
    ['an empty app', { app: '', version: '' }, undefined, undefined],
    ['the names of a prototype are no labels', { constructor: 'x' }, 'sleep', 'latest'],
  ])('%s', (_rule, labels, service, revision) => {
    expect(podNaming('sleep', { labels })).toMatchObject({ canonicalService: service, canonicalRevision: revision });
  });

  it('falls back to the workload, not to the pod', () => {
    expect(podNaming('sleep-x', made('StatefulSet', 'web'))).toEqual({
      workload: 'web',
      canonicalService: 'web',
      canonicalRevision: 'latest',
    });
  });
});
