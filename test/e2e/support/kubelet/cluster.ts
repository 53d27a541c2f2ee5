/** A cluster's API server, and of its controllers what the agent's own objects need: nothing else of a cluster runs. */
import { readFileSync } from 'node:fs';
import type { ApiServer } from '../../../peers/apiserver.ts';
import { makeNamespace } from '../kubernetes-objects.ts';
import type { Manifest } from './manifest.ts';

const COLLECTIONS: Readonly<Record<string, string>> = {
  Namespace: '/api/v1/namespaces',
  ServiceAccount: '/api/v1/namespaces/*/serviceaccounts',
  ConfigMap: '/api/v1/namespaces/*/configmaps',
  DaemonSet: '/apis/apps/v1/namespaces/*/daemonsets',
  ClusterRole: '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  ClusterRoleBinding: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
};

function collectionOf({ kind, metadata }: Manifest): string {
  const path = COLLECTIONS[kind];
  if (path === undefined) throw new Error(`where objects of the kind ${kind} are is not told here`);
  return path.replace('*', metadata.namespace);
}

/** As `kubectl apply` does it: a key that the API server does not know is a mistake. */
export async function apply(api: ApiServer, ...objects: readonly Manifest[]): Promise<void> {
  for (const object of objects) {
    const [collection, { name }] = [collectionOf(object), object.metadata];
    const known = await api.call('GET', `${collection}/${name}`).then(
      () => true,
      () => false,
    );
    if (known) await api.call('PUT', `${collection}/${name}?fieldValidation=Strict`, object);
    else await api.call('POST', `${collection}?fieldValidation=Strict`, object);
    if (object.kind === 'Namespace') await furnish(api, name);
  }
}

/** A namespace with what the controllers put into each. */
export async function namespaceWithAccounts(api: ApiServer, name: string): Promise<void> {
  await makeNamespace(api, name);
  await furnish(api, name);
}

async function furnish(api: ApiServer, namespace: string): Promise<void> {
  await api.call('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: 'default' } });
  await api.call('POST', `/api/v1/namespaces/${namespace}/configmaps`, {
    metadata: { name: 'kube-root-ca.crt' },
    data: { 'ca.crt': readFileSync(api.caFile, 'utf8') },
  });
}

/** A node's pod of a DaemonSet, made and bound to the node. As the API server has filled it in. */
export async function daemonPod(api: ApiServer, namespace: string, name: string, node: string): Promise<Manifest> {
  const daemonSet: Manifest = await api.call('GET', `/apis/apps/v1/namespaces/${namespace}/daemonsets/${name}`);
  const { metadata, spec } = daemonSet.spec.template;
  return api.call('POST', `/api/v1/namespaces/${namespace}/pods`, {
    metadata: {
      ...metadata,
      generateName: `${name}-`,
      labels: { ...metadata.labels, 'controller-revision-hash': '6d5f7c9b8', 'pod-template-generation': '1' },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'DaemonSet', name, uid: daemonSet.metadata.uid, controller: true },
      ],
    },
    spec: { ...spec, nodeName: node },
  });
}
