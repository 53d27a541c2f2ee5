/** TLS material from files, read anew for each connection so that rotated certificates are taken up without a restart. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { checkServerIdentity, createSecureContext, type PeerCertificate } from 'node:tls';
import { TcpledgerError } from '../../collector/errors.ts';

export interface TlsConfig {
  /** Paths, '' for none. Without `ca_file` the system's roots hold. */
  readonly ca_file: string;
  readonly cert_file: string;
  readonly key_file: string;
  /** Plaintext. */
  readonly insecure: boolean;
  readonly insecure_skip_verify: boolean;
  /** The name the peer's certificate must have, '' for the host that is dialled. */
  readonly server_name_override: string;
}

export interface TlsMaterial {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

/**
 * `owner`: the component's id, for messages.
 *
 * @throws TcpledgerError (TCPL_E_CONFIG) naming key, file and reason.
 */
export function readTlsFiles(config: TlsConfig, owner: string): TlsMaterial {
  const material = {
    ca: readKey(config, 'ca_file', owner),
    cert: readKey(config, 'cert_file', owner),
    key: readKey(config, 'key_file', owner),
  };
  check({ ca: material.ca }, `exporters.${owner}.tls.ca_file: ${config.ca_file}`);
  if (material.cert !== undefined) {
    check(
      { cert: material.cert, key: material.key },
      `exporters.${owner}.tls.cert_file and key_file: ${config.cert_file}, ${config.key_file}`,
    );
  }
  return material;
}

/** The peer's certificate against `server_name_override`, if there is one; undefined for Node's own check of the host. */
export function identityCheck({ server_name_override: name }: TlsConfig) {
  if (name === '') return undefined;
  return (_host: string, certificate: PeerCertificate): Error | undefined => checkServerIdentity(name, certificate);
}

function readKey(config: TlsConfig, key: 'ca_file' | 'cert_file' | 'key_file', owner: string): Buffer | undefined {
  const path = config[key];
  if (path === '') return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    throw new TcpledgerError(
      'TCPL_E_CONFIG',
      `exporters.${owner}.tls.${key}: cannot read ${path}: ${(error as Error).message}. ` +
        'Name a PEM file that the agent may read.',
      { cause: error },
    );
  }
}

/** A file that is there and is no certificate or key would otherwise show as a failed handshake, far from its cause. */
function check(material: { ca?: Buffer | undefined; cert?: Buffer; key?: Buffer | undefined }, what: string): void {
  try {
    // createSecureContext passes over what it cannot read among the roots.
    if (material.ca !== undefined) new X509Certificate(material.ca);
    createSecureContext(material as Parameters<typeof createSecureContext>[0]);
  } catch (error) {
    throw new TcpledgerError(
      'TCPL_E_CONFIG',
      `${what}: cannot be used for TLS: ${(error as Error).message}. PEM is needed, and a key that belongs to the certificate.`,
      { cause: error },
    );
  }
}
