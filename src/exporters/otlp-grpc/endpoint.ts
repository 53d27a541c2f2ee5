/** Where `otlp_grpc` sends: `host:port`, with TLS unless `tls.insecure`; or a URL whose scheme decides. */
import { type Schema, string } from '../../collector/schema.ts';

const HOST_PORT = '(?:\\[[0-9a-fA-F:.]+\\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?):\\d{1,5}';

export interface GrpcTarget {
  /** `host:port`, IPv6 in brackets. */
  readonly address: string;
  readonly plaintext: boolean;
}

export function grpcEndpoint(): Schema<string> {
  return string({
    expects: 'host:port, http://host:port (plaintext) or https://host:port',
    pattern: new RegExp(`^(?:https?://)?${HOST_PORT}/?$`),
  });
}

export function grpcTarget(endpoint: string, insecure: boolean): GrpcTarget {
  const match = /^(?:(https?):\/\/)?(.*?)\/?$/.exec(endpoint)!;
  const [, scheme, address] = match;
  return { address: address!, plaintext: scheme === 'http' || (scheme === undefined && insecure) };
}
