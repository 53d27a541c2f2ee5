/**
 * Reads a kubeconfig's current context: cluster, user, and the files and data they name. Ways to log in that need a
 * program or a dialogue (exec plugins, auth providers) are refused by name: an agent has neither.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { TcpledgerError } from '../../../collector/errors.ts';
import { type Access, readText } from './access.ts';
import { asList, asRecord, asText, type JsonRecord } from './json.ts';

const TOKEN_INSTEAD = 'Give the user a token, a tokenFile or a client certificate';

/** Keys of a user that would make another request than the one we could send. */
const REFUSED_IN_USER: Readonly<Record<string, string>> = {
  exec: `exec plugins are not supported: the agent starts no programs. ${TOKEN_INSTEAD}`,
  'auth-provider': `auth providers are not supported. ${TOKEN_INSTEAD}`,
  username: `API servers no longer take user names and passwords. ${TOKEN_INSTEAD}`,
  as: 'impersonation is not supported. Use the credentials of that account',
  'as-groups': 'impersonation is not supported. Use the credentials of that account',
};

/** @throws TcpledgerError TCPL_E_CONFIG that names the file, the key and the mend. */
export async function kubeconfigAccess(path: string): Promise<Access> {
  return new Kubeconfig(path).access();
}

class Kubeconfig {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async access(): Promise<Access> {
    const root = await this.#root();
    const contextName = asText(root['current-context']) ?? '';
    if (contextName === '')
      throw this.#wrong('current-context', 'missing. Choose one: kubectl config use-context NAME');
    const context = this.#named(root, 'contexts', 'context', contextName, 'current-context');
    const at = `contexts[${contextName}]`;
    const clusterName = this.#required(context, 'cluster', at);
    const userName = asText(context.user) ?? '';
    const cluster = this.#named(root, 'clusters', 'cluster', clusterName, `${at}.cluster`);
    const user = userName === '' ? {} : this.#named(root, 'users', 'user', userName, `${at}.user`);
    const clusterAt = `clusters[${clusterName}]`;
    const userAt = `users[${userName}]`;
    this.#refuse(cluster, clusterAt, { 'proxy-url': 'proxies are not supported. Reach the API server directly' });
    this.#refuse(user, userAt, REFUSED_IN_USER);
    const server = this.#server(cluster, clusterAt);
    const cert = await this.#material(user, 'client-certificate', userAt);
    const key = await this.#material(user, 'client-key', userAt);
    if ((cert === undefined) !== (key === undefined)) {
      throw this.#wrong(userAt, 'a client certificate and its key go together: give client-certificate and client-key');
    }
    const { token, origin } = await this.#token(user, userAt);
    return {
      server,
      origin: `${this.#path}, context ${contextName}`,
      ca: await this.#material(cluster, 'certificate-authority', clusterAt),
      cert,
      key,
      serverName: asText(cluster['tls-server-name']) || undefined,
      verify: cluster['insecure-skip-tls-verify'] !== true,
      token,
      credentials:
        origin ??
        (cert
          ? `the client certificate of ${userAt} in ${this.#path}`
          : `a caller without credentials (${userAt} in ${this.#path} has none)`),
    };
  }

  async #root(): Promise<JsonRecord> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      throw this.#wrong(
        '',
        `cannot be read: ${(error as Error).message}. Check processors.identity.kubernetes.kubeconfig`,
      );
    }
    let root: unknown;
    try {
      root = parse(text);
    } catch (error) {
      throw this.#wrong('', `is no YAML: ${(error as Error).message.split('\n', 1)[0]}`);
    }
    const record = asRecord(root);
    if (!record)
      throw this.#wrong('', 'is no kubeconfig: a map with clusters, users, contexts and current-context is needed');
    return record;
  }

  /** The item of that name in a list of `{name, <inner>: {…}}`. */
  #named(root: JsonRecord, list: string, inner: string, name: string, by: string): JsonRecord {
    const items = asList(root[list])
      .map(asRecord)
      .filter((item) => item !== undefined);
    const found = items.find((item) => item.name === name);
    if (!found) {
      const names = items.map((item) => String(item.name)).join(', ');
      throw this.#wrong(by, `names "${name}", which is not in ${list}. There is: ${names || 'none'}`);
    }
    return asRecord(found[inner]) ?? {};
  }

  #required(record: JsonRecord, key: string, at: string): string {
    const value = asText(record[key]);
    if (!value) throw this.#wrong(`${at}.${key}`, 'missing');
    return value;
  }

  #server(cluster: JsonRecord, at: string): string {
    const server = this.#required(cluster, 'server', at);
    const url = URL.canParse(server) ? new URL(server) : undefined;
    if (!url || !['http:', 'https:'].includes(url.protocol)) {
      throw this.#wrong(`${at}.server`, `found "${server}". Allowed: a URL such as https://10.0.0.1:6443`);
    }
    return server.replace(/\/+$/, '');
  }

  #refuse(record: JsonRecord, at: string, refused: Readonly<Record<string, string>>): void {
    for (const [key, why] of Object.entries(refused)) {
      if (record[key] !== undefined && record[key] !== '') throw this.#wrong(`${at}.${key}`, why);
    }
  }

  /** `<key>-data` in base64, else the file that `<key>` names; relative to the kubeconfig. */
  async #material(record: JsonRecord, key: string, at: string): Promise<string | undefined> {
    const data = asText(record[`${key}-data`]);
    if (data) {
      const text = Buffer.from(data, 'base64').toString('utf8');
      if (!text.includes('-----BEGIN')) throw this.#wrong(`${at}.${key}-data`, 'is no PEM in base64');
      return text;
    }
    const file = asText(record[key]);
    if (!file) return undefined;
    return readText(this.#beside(file), `${at}.${key} of ${this.#path}`, 'Name a PEM file that the agent may read');
  }

  async #token(user: JsonRecord, at: string): Promise<{ token?: string; origin?: string }> {
    const file = asText(user.tokenFile);
    if (file) {
      const path = this.#beside(file);
      const token = await readText(
        path,
        `${at}.tokenFile of ${this.#path}`,
        'Name a file with a token that the agent may read',
      );
      return { token: token.trim(), origin: `the token in ${path}` };
    }
    const token = asText(user.token);
    return token ? { token, origin: `the token of ${at} in ${this.#path}` } : {};
  }

  #beside(file: string): string {
    return resolve(dirname(this.#path), file);
  }

  #wrong(key: string, message: string): TcpledgerError {
    const place = key === '' ? this.#path : `${this.#path}: ${key}:`;
    return new TcpledgerError('TCPL_E_CONFIG', `kubeconfig ${place} ${message}`);
  }
}
