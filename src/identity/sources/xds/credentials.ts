/** What a connection is made with, read from files anew each time: meshes rotate roots and tokens under a running agent. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { XdsConfig } from './config.ts';
import { XdsFailure } from './failure.ts';
import { readToken, type Token } from './token.ts';

export interface Credentials {
  /** PEM; undefined: the system's roots. */
  readonly roots: Buffer | undefined;
  readonly token: Token | undefined;
}

/**
 * Nothing is read, and no token sent, where the connection is plaintext: anybody on the way could use it.
 *
 * @throws XdsFailure naming the file, and what to do.
 */
export function readCredentials({ tls, token_file }: XdsConfig): Credentials {
  if (tls.insecure) return { roots: undefined, token: undefined };
  return {
    roots: tls.ca_file === '' ? undefined : readRoots(tls.ca_file),
    token: token_file === '' ? undefined : readToken(token_file),
  };
}

function readRoots(path: string): Buffer {
  try {
    const pem = readFileSync(path);
    // TLS passes over what it cannot read, and then trusts nobody.
    new X509Certificate(pem);
    return pem;
  } catch (error) {
    throw new XdsFailure(
      'certificate',
      `cannot use the mesh's root ${path}: ${(error as Error).message}. Mount the key root-cert.pem of the ConfigMap istio-ca-root-cert there, or set tls.ca_file`,
      { cause: error },
    );
  }
}
