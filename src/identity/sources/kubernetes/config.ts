/** The section `kubernetes` of the identity processor. */
import { described, type Infer, object, string, withDefault } from '../../../collector/schema.ts';

const DNS_NAME = /^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/;

/** What stands in a SPIFFE id or a host name without being escaped. */
const dnsName = (example: string) => string({ pattern: DNS_NAME, expects: `a DNS name such as ${example}` });

export const kubernetesSchema = object({
  kubeconfig: described(
    "A kubeconfig file, its current context is used. Empty: this pod's own service account",
    withDefault(string({ empty: true }), '""'),
  ),
  node_name: described(
    "This node's name in the cluster: processes here are matched with its pods only. Empty: with any pod",
    withDefault(string({ empty: true }), '""'),
  ),
  trust_domain: described('The trust domain of principals', withDefault(dnsName('cluster.local'), 'cluster.local')),
  cluster_id: described("The cluster's name in the labels", withDefault(string(), 'Kubernetes')),
  cluster_domain: described(
    'The DNS domain below which services have their names',
    withDefault(dnsName('cluster.local'), 'cluster.local'),
  ),
});

export type KubernetesConfig = Infer<typeof kubernetesSchema>;

/** Of a section that is left out. */
export const KUBERNETES_DEFAULTS: KubernetesConfig = kubernetesSchema.parse(undefined, '', () => {});
