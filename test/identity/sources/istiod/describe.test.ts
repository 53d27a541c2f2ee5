/** TLS, tokens, and what doctor says of them. */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServerCredentials, status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { describeIstiod, type IstiodConfig } from '../../../../src/identity/sources/istiod/source.ts';
import { type Certificates, createCertificates } from '../../../exporters/otlp/support/certificates.ts';
import { type DiscoveryServer, type DiscoveryServerOptions, discoveryServer } from '../xds/support/discovery-server.ts';
import { createRig, eventually, istiodConfig, MACHINE, pod, response } from './support/rig.ts';

let certificates: Certificates;
let strangers: Certificates;
let folder: string;
let tokenFile: string;
beforeAll(() => {
  certificates = createCertificates();
  strangers = createCertificates();
  folder = mkdtempSync(join(tmpdir(), 'tcpledger-istiod-'));
  tokenFile = join(folder, 'istio-token');
});
afterAll(() => {
  certificates.remove();
  strangers.remove();
  rmSync(folder, { recursive: true });
});

const servers: DiscoveryServer[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

const HOUR = 3_600;
const NOW = Math.floor(Date.now() / 1000);

function jwt(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256' })}.${part(claims)}.signature`;
}

const goodClaims = () => ({
  aud: ['istio-ca'],
  exp: NOW + HOUR,
  'kubernetes.io': { namespace: 'observability' },
});

/** TLS by the mesh's certificate; every token is taken unless `onRequest` says otherwise. */
async function secure(options: DiscoveryServerOptions = {}, of: Certificates = certificates): Promise<DiscoveryServer> {
  const pair = { cert_chain: of.read(of.serverCert), private_key: of.read(of.serverKey) };
  const server = await discoveryServer({
    credentials: ServerCredentials.createSsl(null, [pair]),
    onRequest: (stream) => stream.respond(response([])),
    ...options,
  });
  servers.push(server);
  return server;
}

function config(port: number, more: Partial<IstiodConfig> = {}, tls: Partial<IstiodConfig['tls']> = {}): IstiodConfig {
  return istiodConfig(port, {
    token_file: tokenFile,
    tls: { ca_file: certificates.ca, insecure: false, server_name_override: '', ...tls },
    ...more,
  });
}

const doctor = (of: IstiodConfig) => describeIstiod(of, MACHINE);

describe('doctor', () => {
  it('is content when the control plane answers, and has shown it the token', async () => {
    writeFileSync(tokenFile, `${jwt(goodClaims())}\n`);
    const server = await secure();
    expect(await doctor(config(server.port))).toEqual({
      ok: true,
      text: `127.0.0.1:${server.port} serves the workload API to this node`,
    });
    expect(server.streams[0]!.metadata.get('authorization')).toEqual([`Bearer ${jwt(goodClaims())}`]);
    // It has not asked for all of a mesh.
    expect(server.streams[0]!.requests[0]).toMatchObject({ resourceNamesSubscribe: ['*', '/0.0.0.0'] });
  });

  it('does the same in plaintext, where no file is read and no token sent', async () => {
    const server = await discoveryServer({ onRequest: (stream) => stream.respond(response([])) });
    servers.push(server);
    const plaintext = {
      token_file: '/nowhere/token',
      tls: { ca_file: '/nowhere', insecure: true, server_name_override: '' },
    };
    expect(await doctor(istiodConfig(server.port, plaintext))).toMatchObject({ ok: true });
    expect(server.streams[0]!.metadata.get('authorization')).toEqual([]);
  });

  it('takes the name that the certificate has, if it is told so', async () => {
    writeFileSync(tokenFile, jwt(goodClaims()));
    const server = await secure();
    expect(await doctor(config(server.port, {}, { server_name_override: 'collector.test' }))).toMatchObject({
      ok: true,
    });
    expect(await doctor(config(server.port, {}, { server_name_override: 'istiod.test' }))).toMatchObject({
      ok: false,
      text: expect.stringMatching(
        /istiod\.test.*Use a host that the certificate names, or set tls\.server_name_override/s,
      ),
    });
  });

  it.each([
    [
      'a file that is not there',
      '/nowhere/root-cert.pem',
      /cannot use the mesh's root \/nowhere\/root-cert\.pem: ENOENT.*istio-ca-root-cert/,
    ],
    ['a file that is no certificate', import.meta.filename, /cannot use the mesh's root .*describe\.test\.ts/],
    ['the system’s roots', '', /not signed by the system's roots \(tls\.ca_file is empty\)/],
  ])('tells of roots: %s', async (_name, caFile, text) => {
    writeFileSync(tokenFile, jwt(goodClaims()));
    const server = await secure();
    const report = await doctor(config(server.port, {}, { ca_file: caFile }));
    expect(report).toEqual({ ok: false, text: expect.stringMatching(text) });
  });

  it('tells of a certificate by another authority', async () => {
    writeFileSync(tokenFile, jwt(goodClaims()));
    const server = await secure();
    expect(await doctor(config(server.port, {}, { ca_file: certificates.strangerCa }))).toEqual({
      ok: false,
      text: expect.stringContaining(`is not signed by ${certificates.strangerCa}`),
    });
  });

  it('tells of plaintext where TLS is, and of TLS where plaintext is', async () => {
    writeFileSync(tokenFile, jwt(goodClaims()));
    const server = await secure();
    expect(await doctor(istiodConfig(server.port))).toEqual({
      ok: false,
      text: expect.stringContaining('Does it want TLS (tls.insecure is set)?'),
    });
    const plaintext = await discoveryServer();
    servers.push(plaintext);
    expect(await doctor(config(plaintext.port))).toEqual({
      ok: false,
      text: `127.0.0.1:${plaintext.port} does not speak TLS. Use its TLS port (15012), or set tls.insecure`,
    });
  });

  it('tells of a name that cannot be resolved', async () => {
    const unknown = istiodConfig(15_010, { endpoint: { host: 'istiod.invalid', port: 15_010 } });
    expect(await doctor(unknown)).toEqual({
      ok: false,
      text: expect.stringMatching(/^istiod\.invalid:15010: the name cannot be resolved \((ENOTFOUND|EAI_AGAIN)\)/),
    });
  });

  it.each([
    ['missing', undefined, /cannot read the token .*ENOENT.*for the audience istio-ca/],
    ['empty', '\n', /the token .* is empty/],
    ['no token', 'two words', /holds no token/],
  ])('tells of a token that is %s', async (_name, text, message) => {
    const path = join(folder, 'other-token');
    if (text !== undefined) writeFileSync(path, text);
    else rmSync(path, { force: true });
    const server = await secure();
    expect(await doctor(config(server.port, { token_file: path }))).toEqual({
      ok: false,
      text: expect.stringMatching(message),
    });
  });

  it.each([
    ['has expired', { exp: NOW - HOUR }, 'it has expired at'],
    [
      'is for others',
      { aud: 'https://kubernetes.default.svc' },
      'it is for the audience https://kubernetes.default.svc, not istio-ca',
    ],
    ['is another namespace’s', { 'kubernetes.io': { namespace: 'default' } }, 'set POD_NAMESPACE to default'],
    ['is refused for no reason that it shows', {}, 'which is that of'],
  ])('says why a token is refused that %s', async (_name, claims, text) => {
    writeFileSync(tokenFile, jwt({ ...goodClaims(), ...claims }));
    const server = await secure({
      onRequest: (stream) => stream.fail({ code: status.UNAUTHENTICATED, details: 'authentication failure' }),
    });
    const report = await doctor(config(server.port));
    expect(report.ok).toBe(false);
    expect(report.text).toContain('does not accept the token (authentication failure)');
    expect(report.text).toContain(text);
  });

  it('says that a token is no JWT to nobody: the control plane decides', async () => {
    writeFileSync(tokenFile, 'opaque-token');
    const server = await secure();
    expect(await doctor(config(server.port))).toMatchObject({ ok: true });
    expect(server.streams[0]!.metadata.get('authorization')).toEqual(['Bearer opaque-token']);
  });

  it('tells of an answer of another kind', async () => {
    writeFileSync(tokenFile, jwt(goodClaims()));
    const server = await secure({ onRequest: (stream) => stream.respond({ nonce: 'n' }) });
    expect(await doctor(config(server.port))).toEqual({ ok: false, text: expect.stringContaining('is it istiod?') });
  });
});

describe('rotation', () => {
  it('is taken up at the next connection: another token, another authority', async () => {
    const ca = join(folder, 'root-cert.pem');
    copyFileSync(certificates.ca, ca);
    writeFileSync(tokenFile, 'first-token');
    const onRequest: DiscoveryServerOptions['onRequest'] = (stream, request) => {
      if (request.responseNonce === '') stream.respond(response([pod('a', '10.0.0.1')]));
    };
    const first = await secure({ onRequest });
    const rig = createRig(config(first.port, {}, { ca_file: ca }));
    await rig.source.start();
    await eventually(() => rig.at('10.0.0.1')).toBe('a');
    writeFileSync(tokenFile, 'second-token');
    first.streams[0]!.end();
    await eventually(() => first.streams[1]?.metadata.get('authorization')).toEqual(['Bearer second-token']);
    // The control plane comes back with a certificate of the new authority, before the node has its root.
    first.close();
    const second = await secure({ onRequest, port: first.port }, strangers);
    await eventually(() => rig.logger.lines.some((line) => line.includes(`is not signed by ${ca}`))).toBe(true);
    copyFileSync(strangers.ca, ca);
    await eventually(() => second.streams.length).toBe(1);
    expect(rig.at('10.0.0.1')).toBe('a');
    await rig.source.shutdown();
  });

  it('may leave a file half written for a moment', async () => {
    writeFileSync(tokenFile, '');
    const server = await secure();
    const rig = createRig(config(server.port));
    await rig.source.start();
    await eventually(() => rig.source.missing()).toContain('is empty');
    writeFileSync(tokenFile, 'a-token');
    await eventually(() => rig.source.missing()).toBeUndefined();
    await rig.source.shutdown();
  });
});
