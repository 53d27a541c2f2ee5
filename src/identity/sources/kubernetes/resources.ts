/** The five resources, and what each is needed for. deploy/rbac.yaml grants them. */
import type { Resource } from './reflector.ts';
import { trimEndpointSlice, trimNamespace, trimNode, trimPod, trimService } from './trimmed.ts';

/** Who holds an address, who runs in a control group. */
const pods = { name: 'pods', group: '', path: '/api/v1/pods', trim: trimPod };
/** What was dialled: virtual addresses, names, ports. */
const services = { name: 'services', group: '', path: '/api/v1/services', trim: trimService };
/** Which pods are behind a service, on which of their ports. */
const endpointSlices = {
  name: 'endpointslices',
  group: 'discovery.k8s.io',
  path: '/apis/discovery.k8s.io/v1/endpointslices',
  trim: trimEndpointSlice,
};
/** Regions and zones; addresses that are a node's and therefore no service's. */
const nodes = { name: 'nodes', group: '', path: '/api/v1/nodes', trim: trimNode };
/** Whose pods are in an ambient mesh. */
const namespaces = { name: 'namespaces', group: '', path: '/api/v1/namespaces', trim: trimNamespace };

export const RESOURCES = { pods, services, endpointSlices, nodes, namespaces } as const;

export const ALL_RESOURCES: readonly Pick<Resource<never>, 'name' | 'group' | 'path'>[] = Object.values(RESOURCES);
