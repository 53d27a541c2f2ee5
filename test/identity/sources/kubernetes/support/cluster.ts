/** An empty cluster with the default names, in a directory of its own, that takes no breath: no API server behind it. */
import type { Clock } from '../../../../../src/identity/clock.ts';
import { Directory } from '../../../../../src/identity/directory.ts';
import { Cluster } from '../../../../../src/identity/sources/kubernetes/cluster.ts';
import { KUBERNETES_DEFAULTS } from '../../../../../src/identity/sources/kubernetes/config.ts';

/** `nodeName`: the node that the agent is on; empty: not known. */
export function emptyCluster(clock: Clock, nodeName = '') {
  const directory = new Directory(clock);
  const shelf = directory.addShelf('kubernetes', '');
  const { trust_domain, cluster_id, cluster_domain } = KUBERNETES_DEFAULTS;
  const names = { trustDomain: trust_domain, clusterId: cluster_id, clusterDomain: cluster_domain, nodeName };
  return { directory, shelf, cluster: new Cluster({ shelf, names, breathe: () => undefined }) };
}
