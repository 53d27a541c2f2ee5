/** The keys that the sources of a mesh's control plane share. */
import type { Endpoint } from '../../../collector/schema/addresses.ts';
import { boolean, described, endpoint, object, type Schema, string, withDefault } from '../../../collector/schema.ts';

export interface XdsConfig {
  readonly endpoint: Endpoint;
  /** Path, '' for none. */
  readonly token_file: string;
  readonly tls: {
    /** Path, '' for the system's roots. */
    readonly ca_file: string;
    /** Plaintext: neither TLS nor a token. */
    readonly insecure: boolean;
    /** '' for the host of the endpoint. */
    readonly server_name_override: string;
  };
  readonly cluster_id: string;
  readonly network: string;
}

const text = (): Schema<string> => string({ empty: true });

export function xdsKeys() {
  return {
    endpoint: described('The control plane', withDefault(endpoint(), 'istiod.istio-system.svc:15012')),
    token_file: described(
      "The service account's token for the audience istio-ca, read again at each connect; empty: none is sent",
      withDefault(text(), '/var/run/secrets/tokens/istio-token'),
    ),
    tls: described(
      'TLS to the control plane',
      object({
        ca_file: described(
          "PEM file with the mesh's roots, read again at each connect; empty: the system's",
          withDefault(text(), '/var/run/secrets/istio/root-cert.pem'),
        ),
        insecure: described('Plaintext, without a token: for development', withDefault(boolean(), 'false')),
        server_name_override: described(
          "The name the control plane's certificate must have; empty: the host of the endpoint",
          withDefault(text(), '""'),
        ),
      }),
    ),
    cluster_id: described(
      'The cluster this node is in, as the control plane names it',
      withDefault(text(), 'Kubernetes'),
    ),
    network: described('The network this node is in, as the control plane names it', withDefault(text(), '""')),
  };
}

/** `host:port`, IPv6 in brackets. */
export const endpointText = ({ host, port }: Endpoint): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;
