/** How the API server is reached and who we are there. Read anew for each attempt, so that what is rotated is taken up. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TcpledgerError } from '../../../collector/errors.ts';

export interface Access {
  /** Scheme, host, port and perhaps a path, without a slash at the end. */
  readonly server: string;
  /** Where this was found, in words: `the pod's service account`, `/etc/kubeconfig, context prod`. */
  readonly origin: string;
  /** PEM. Without an authority the system's roots hold. */
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** Instead of the host's name in the server's certificate. */
  readonly serverName: string | undefined;
  readonly verify: boolean;
  readonly token: string | undefined;
  /** What a 401 is about: `the token in /var/run/…/token`. */
  readonly credentials: string;
}

/** @throws TcpledgerError TCPL_E_CONFIG that says which file or key is wrong and what to do. */
export type ReadAccess = () => Promise<Access>;

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The service account that kubelet mounts into each pod. @throws as ReadAccess. */
export async function inClusterAccess(env: NodeJS.ProcessEnv, folder: string = SERVICE_ACCOUNT): Promise<Access> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (!host || !port) {
    throw new TcpledgerError(
      'TCPL_E_CONFIG',
      'processors.identity.kubernetes: this is no pod of a cluster (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set) and no kubeconfig is given. Set kubeconfig, or take "kubernetes" out of the sources',
    );
  }
  const tokenFile = join(folder, 'token');
  const mend = 'Mount the service account into the pod (automountServiceAccountToken: true)';
  const token = await readText(tokenFile, 'the token of the service account', mend);
  const ca = await readText(join(folder, 'ca.crt'), "the cluster's certificate authority", mend);
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    origin: "the pod's service account",
    ca,
    cert: undefined,
    key: undefined,
    serverName: undefined,
    verify: true,
    token: token.trim(),
    credentials: `the token in ${tokenFile}`,
  };
}

/** @throws TcpledgerError TCPL_E_CONFIG: `cannot read <what> <path>: <reason>. <mend>`. */
export async function readText(path: string, what: string, mend: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new TcpledgerError(
      'TCPL_E_CONFIG',
      `processors.identity.kubernetes: cannot read ${what}: ${(error as Error).message}. ${mend}`,
      { cause: error },
    );
  }
  if (text.trim() !== '') return text;
  throw new TcpledgerError(
    'TCPL_E_CONFIG',
    `processors.identity.kubernetes: ${path} is empty, it should hold ${what}. ${mend}`,
  );
}
