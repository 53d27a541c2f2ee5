/** Who plays in a case: each has a namespace and addresses of its own, so that cases share an agent and not a series. */
import { fqdn, type KubernetesObject, pod, service } from './objects.ts';
import type { Target } from './stage.ts';

export interface Cast {
  /** `case-<number>` */
  readonly namespace: string;
  readonly client: string;
  readonly server: string;
  /** Of service `server`, port 80. Its target port is 8080. */
  readonly vip: Target;
  readonly fqdn: string;
  /** Pods of Deployments `client` and `server`, and the service. */
  readonly objects: readonly KubernetesObject[];
}

export const SERVICE_PORT = 80;
export const TARGET_PORT = 8080;

export function castOf(number: number): Cast {
  const namespace = `case-${number}`;
  const [client, server, vip] = [`10.71.${number}.1`, `10.72.${number}.1`, `10.96.${number}.1`];
  return {
    namespace,
    client,
    server,
    vip: { address: vip, port: SERVICE_PORT },
    fqdn: fqdn('server', namespace),
    objects: [
      pod({ workload: 'client', namespace, ips: [client] }),
      pod({ workload: 'server', namespace, ips: [server] }),
      service({ name: 'server', namespace, vip, ports: { [SERVICE_PORT]: TARGET_PORT } }),
    ],
  };
}
