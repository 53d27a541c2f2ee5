import { writeFileSync } from 'node:fs';
import type { ServerOptions } from 'node:https';
import { dirname, join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { KUBERNETES_DEFAULTS } from '../../../../src/identity/sources/kubernetes/config.ts';
import { describeKubernetes } from '../../../../src/identity/sources/kubernetes/describe.ts';
import { kubeconfigAccess } from '../../../../src/identity/sources/kubernetes/kubeconfig.ts';
import { type Certificates, createCertificates } from '../../../exporters/otlp/support/certificates.ts';
import { node, pod } from './support/objects.ts';
import { startServer, startSource } from './support/rig.ts';
import type { ScriptedServer } from './support/scripted-server.ts';
import { until } from './support/until.ts';

let certificates: Certificates;
beforeAll(() => {
  certificates = createCertificates();
});
afterAll(() => certificates.remove());

async function startSecure(options: ServerOptions = {}): Promise<ScriptedServer> {
  const { read, serverCert, serverKey } = certificates;
  const server = await startServer({ cert: read(serverCert), key: read(serverKey), ...options });
  server.put('pods', pod('a', { ip: '10.0.0.1' }));
  server.put('nodes', node('node-1'));
  return server;
}

/** Written anew by each call, as `kubectl` and rotating certificates do. */
function kubeconfig(server: string, cluster: object = {}, user: object = {}): string {
  const path = join(dirname(certificates.ca), 'kubeconfig');
  writeFileSync(
    path,
    stringify({
      'current-context': 'test',
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
      clusters: [{ name: 'test', cluster: { server, 'certificate-authority': certificates.ca, ...cluster } }],
      users: [{ name: 'test', user }],
    }),
  );
  return path;
}

describe('the source', () => {
  it.each([
    ['by its authority', {}],
    ['by another name of it', { 'tls-server-name': 'collector.test' }],
    ['unseen, if so told', { 'certificate-authority': undefined, 'insecure-skip-tls-verify': true }],
  ])('trusts the server %s', async (_case, cluster) => {
    const server = await startSecure();
    const path = kubeconfig(server.url, cluster);
    const { shelf, at } = await startSource(server, { access: () => kubeconfigAccess(path) });
    await until(() => shelf.synced);
    expect(at('10.0.0.1')).toBe('a');
  });

  it.each([
    ['an authority that is not its own', () => ({ 'certificate-authority': certificates.strangerCa })],
    ['a name that it has not', () => ({ 'tls-server-name': 'elsewhere.test' })],
  ])('does not trust it with %s', async (_case, cluster) => {
    const server = await startSecure();
    const path = kubeconfig(server.url, cluster());
    const { source, failures } = await startSource(server, { access: () => kubeconfigAccess(path) });
    await until(() => failures('certificate') >= 5);
    expect(source.missing()).toContain(`no trusted connection to the API server ${server.url}`);
    expect(server.asked).toHaveLength(0);
  });

  it('shows its own certificate', async () => {
    const { read, ca, clientCert, clientKey } = certificates;
    const server = await startSecure({ ca: read(ca), requestCert: true, rejectUnauthorized: true });
    const user = { 'client-certificate': clientCert, 'client-key': clientKey };
    const path = kubeconfig(server.url, {}, {});
    const { source, shelf, failures } = await startSource(server, { access: () => kubeconfigAccess(path) });
    await until(() => failures('certificate') + failures('unreachable') >= 5);
    // In few words, and none of OpenSSL's places in its own source.
    expect(source.missing()).not.toMatch(/\n|\.c:\d/);
    kubeconfig(server.url, {}, user);
    await until(() => shelf.synced);
  });

  it('takes up an authority and a token that were rotated', async () => {
    const server = await startSecure();
    server.tokens = new Set(['first']);
    const path = kubeconfig(server.url, {}, { token: 'first' });
    const { shelf, at, failures } = await startSource(server, { access: () => kubeconfigAccess(path) });
    await until(() => shelf.synced && server.watchCount('pods') === 1);
    kubeconfig(server.url, { 'certificate-authority': certificates.strangerCa }, { token: 'first' });
    server.cutOff();
    await until(() => failures('certificate') > 0);
    server.tokens = new Set(['second']);
    kubeconfig(server.url, {}, { token: 'first' });
    await until(() => failures('unauthorized') > 0);
    kubeconfig(server.url, {}, { token: 'second' });
    server.put('pods', pod('b', { ip: '10.0.0.2' }));
    await until(() => at('10.0.0.2') === 'b');
    expect(at('10.0.0.1')).toBe('a');
  });

  it('uses one connection for the pages of a list', async () => {
    const server = await startSecure();
    for (let i = 0; i < 30; i++) server.put('pods', pod(`p${i}`));
    const sockets = new Set<TLSSocket>();
    server.onConnection((socket) => sockets.add(socket as TLSSocket));
    const path = kubeconfig(server.url);
    const { shelf } = await startSource(server, { access: () => kubeconfigAccess(path) });
    await until(() => shelf.synced && server.watchCount('pods') === 1);
    expect(server.count('list', 'pods')).toBe(11);
    // One for each resource.
    expect(sockets.size).toBe(5);
  });
});

describe('doctor', () => {
  const report = (path: string, nodeName = '') =>
    describeKubernetes({ ...KUBERNETES_DEFAULTS, kubeconfig: path, node_name: nodeName });

  it('says what can be had', async () => {
    const server = await startSecure();
    const path = kubeconfig(server.url);
    expect(await report(path, 'node-1')).toEqual({
      ok: true,
      text: `${server.url} (${path}, context test): pods, services, endpointslices, nodes, namespaces can be listed and watched`,
    });
    await until(() => server.watchCount('pods') === 0);
  });

  it('tells what is wrong with the node name', async () => {
    const server = await startSecure();
    const { ok, text } = await report(kubeconfig(server.url), 'node-2');
    expect([ok, text]).toEqual([false, expect.stringContaining('there is no node node-2: set node_name')]);
  });

  it('tells each permission that is missing', async () => {
    const server = await startSecure();
    server.scripts.push(({ verb, resource }) =>
      resource === 'nodes' || (verb === 'watch' && resource === 'pods')
        ? { status: 403, body: { message: `no ${verb}` } }
        : undefined,
    );
    const { ok, text } = await report(kubeconfig(server.url), 'node-1');
    expect(ok).toBe(false);
    expect(text).toContain(
      'watch pods, list nodes, watch nodes: denied. not allowed to watch pods (403, no watch). Grant',
    );
    expect(text).not.toContain('list pods');
  });

  it('tells address, certificate, token and file apart', async () => {
    const server = await startSecure();
    server.tokens = new Set(['good']);
    const { url } = server;
    expect((await report(kubeconfig(url, {}, { token: 'bad' }))).text).toContain(
      'does not accept the token of users[test]',
    );
    expect((await report(kubeconfig(url, {}))).text).toContain('does not accept a caller without credentials');
    expect((await report(kubeconfig(url, { 'certificate-authority': certificates.strangerCa }))).text).toContain(
      'no trusted connection',
    );
    expect((await report(kubeconfig(url, {}, { tokenFile: 'absent' }))).text).toContain(
      'cannot read users[test].tokenFile',
    );
    expect((await report(kubeconfig(url.replace('https', 'http')))).text).toMatch(
      /cannot reach the API server|answers 400/,
    );
    expect((await report(join(dirname(certificates.ca), 'absent'))).text).toContain('cannot be read: ENOENT');
    await server.stop();
    expect((await report(kubeconfig(url))).text).toContain(`cannot reach the API server ${url}: connect ECONNREFUSED`);
    await server.start();
  });

  it('tells that plain HTTP is no TLS', async () => {
    const server = await startServer();
    const url = server.url.replace('http', 'https');
    expect((await report(kubeconfig(url))).text).toBe(
      `the API server ${url} does not speak TLS. Check the address: is it http://, or another port?`,
    );
  });

  it('tells what is no API server, in one sentence', async () => {
    const server = await startServer();
    server.scripts.push(() => ({ status: 404, body: '<html>Not found</html>' }));
    expect((await report(kubeconfig(server.url))).text).toBe(
      'cannot list pods: there is no such resource (404, <html>Not found</html>). Is this an API server? Check the address',
    );
  });

  it('tells that this is no pod', async () => {
    const { ok, text } = await describeKubernetes(KUBERNETES_DEFAULTS);
    expect([ok, text]).toEqual([false, expect.stringContaining('this is no pod of a cluster')]);
  });
});
