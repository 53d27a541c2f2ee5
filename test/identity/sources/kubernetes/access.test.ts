import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { inClusterAccess } from '../../../../src/identity/sources/kubernetes/access.ts';
import { kubeconfigAccess } from '../../../../src/identity/sources/kubernetes/kubeconfig.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n';
const KEY = '-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n';
const base64 = (text: string) => Buffer.from(text).toString('base64');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tcpledger-access-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe("the pod's service account", () => {
  const env = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };

  it('is read from where kubelet mounts it, each time', async () => {
    await writeFile(join(folder, 'ca.crt'), PEM);
    for (const token of ['first', 'second']) {
      await writeFile(join(folder, 'token'), `${token}\n`);
      expect(await inClusterAccess(env, folder)).toMatchObject({
        server: 'https://10.96.0.1:443',
        ca: PEM,
        token,
        verify: true,
      });
    }
    const ipv6 = await inClusterAccess({ ...env, KUBERNETES_SERVICE_HOST: 'fd00::1' }, folder);
    expect(ipv6.server).toBe('https://[fd00::1]:443');
  });

  it('is told to be missing, with the mend', async () => {
    await expect(inClusterAccess({}, folder)).rejects.toThrow('this is no pod of a cluster (KUBERNETES_SERVICE_HOST');
    await expect(inClusterAccess(env, folder)).rejects.toMatchObject({
      code: 'TCPL_E_CONFIG',
      message: expect.stringMatching(
        /cannot read the token of the service account: ENOENT.*automountServiceAccountToken: true/,
      ),
    });
    await writeFile(join(folder, 'token'), ' \n');
    await writeFile(join(folder, 'ca.crt'), PEM);
    await expect(inClusterAccess(env, folder)).rejects.toThrow(`${join(folder, 'token')} is empty`);
  });
});

describe('a kubeconfig', () => {
  interface Parts {
    readonly cluster?: object;
    readonly user?: object;
    readonly root?: object;
  }

  async function write({ cluster = {}, user = {}, root = {} }: Parts): Promise<string> {
    const path = join(folder, 'config');
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'here',
      contexts: [
        { name: 'there', context: { cluster: 'c2', user: 'u2' } },
        { name: 'here', context: { cluster: 'c1', user: 'u1' } },
      ],
      clusters: [
        { name: 'c2', cluster: { server: 'https://wrong:1' } },
        { name: 'c1', cluster: { server: 'https://api.example:6443/', ...cluster } },
      ],
      users: [{ name: 'u1', user }],
      ...root,
    };
    await writeFile(path, stringify(config));
    return path;
  }
  const read = async (parts: Parts) => kubeconfigAccess(await write(parts));

  it('gives its current context', async () => {
    expect(await read({ user: { token: 'secret' } })).toEqual({
      server: 'https://api.example:6443',
      origin: `${join(folder, 'config')}, context here`,
      ca: undefined,
      cert: undefined,
      key: undefined,
      serverName: undefined,
      verify: true,
      token: 'secret',
      credentials: `the token of users[u1] in ${join(folder, 'config')}`,
    });
  });

  it('gives certificates from data and from files beside it, data first', async () => {
    await mkdir(join(folder, 'pki'));
    await writeFile(join(folder, 'pki/file.pem'), PEM);
    await writeFile(join(folder, 'pki/key.pem'), KEY);
    const files = await read({
      cluster: { 'certificate-authority': 'pki/file.pem', 'tls-server-name': 'kubernetes' },
      user: { 'client-certificate': join(folder, 'pki/file.pem'), 'client-key': 'pki/key.pem' },
    });
    expect(files).toMatchObject({ ca: PEM, cert: PEM, key: KEY, serverName: 'kubernetes', token: undefined });
    expect(files.credentials).toContain('the client certificate of users[u1]');
    const data = await read({
      cluster: {
        'certificate-authority': 'absent',
        'certificate-authority-data': base64(PEM),
        'insecure-skip-tls-verify': true,
      },
      user: { 'client-certificate-data': base64(PEM), 'client-key-data': base64(KEY) },
    });
    expect(data).toMatchObject({ ca: PEM, cert: PEM, key: KEY, verify: false });
  });

  it('gives the token of a file before one that is written down', async () => {
    await writeFile(join(folder, 'token'), 'from-file\n');
    expect(await read({ user: { token: 'written', tokenFile: 'token' } })).toMatchObject({ token: 'from-file' });
  });

  it('may have a user without credentials', async () => {
    expect((await read({})).credentials).toContain('a caller without credentials (users[u1]');
  });

  it.each<[string, Parts, string]>([
    [
      'no current context',
      { root: { 'current-context': '' } },
      'current-context: missing. Choose one: kubectl config use-context NAME',
    ],
    [
      'a context that is not there',
      { root: { 'current-context': 'x' } },
      'current-context: names "x", which is not in contexts. There is: there, here',
    ],
    [
      'a cluster that is not there',
      { root: { clusters: [] } },
      'contexts[here].cluster: names "c1", which is not in clusters. There is: none',
    ],
    ['a user that is not there', { root: { users: 5 } }, 'contexts[here].user: names "u1", which is not in users'],
    [
      'a context without a cluster',
      { root: { contexts: [{ name: 'here', context: {} }] } },
      'contexts[here].cluster: missing',
    ],
    ['no server', { cluster: { server: '' } }, 'clusters[c1].server: missing'],
    [
      'a server that is no URL',
      { cluster: { server: 'api:6443' } },
      'clusters[c1].server: found "api:6443". Allowed: a URL such as',
    ],
    ['a proxy', { cluster: { 'proxy-url': 'http://p' } }, 'clusters[c1].proxy-url: proxies are not supported'],
    [
      'an exec plugin',
      { user: { exec: { command: 'aws' } } },
      'users[u1].exec: exec plugins are not supported: the agent starts no programs. Give the user a token',
    ],
    [
      'an auth provider',
      { user: { 'auth-provider': { name: 'gcp' } } },
      'users[u1].auth-provider: auth providers are not supported',
    ],
    ['a password', { user: { username: 'a', password: 'b' } }, 'users[u1].username: API servers no longer take'],
    ['impersonation', { user: { token: 't', as: 'root' } }, 'users[u1].as: impersonation is not supported'],
    [
      'a certificate without its key',
      { user: { 'client-certificate-data': base64(PEM) } },
      'users[u1]: a client certificate and its key go together',
    ],
    [
      'data that is no PEM',
      { cluster: { 'certificate-authority-data': base64('hello') } },
      'clusters[c1].certificate-authority-data: is no PEM in base64',
    ],
    [
      'a file that is not there',
      { cluster: { 'certificate-authority': 'absent.pem' } },
      'cannot read clusters[c1].certificate-authority of',
    ],
    ['a token file that is not there', { user: { tokenFile: 'absent' } }, 'cannot read users[u1].tokenFile of'],
  ])('with %s is refused', async (_case, parts, message) => {
    await expect(read(parts)).rejects.toMatchObject({
      code: 'TCPL_E_CONFIG',
      message: expect.stringContaining(message),
    });
  });

  it.each([
    ['clusters: [', 'is no YAML'],
    ['', 'is no kubeconfig'],
    ['- a', 'is no kubeconfig'],
  ])('%j is none', async (text, message) => {
    const path = join(folder, 'config');
    await writeFile(path, text);
    await expect(kubeconfigAccess(path)).rejects.toThrow(`kubeconfig ${path} ${message}`);
  });

  it('that is not there is told by its path', async () => {
    await expect(kubeconfigAccess(join(folder, 'absent'))).rejects.toThrow(
      /absent cannot be read: ENOENT.*processors\.identity\.kubernetes\.kubeconfig/,
    );
  });
});
