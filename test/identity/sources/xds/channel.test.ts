/** Connections that fail, and peers that are no control plane. */
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { openStream, type Patience, type XdsStream } from '../../../../src/identity/sources/xds/channel.ts';
import type { XdsFailure } from '../../../../src/identity/sources/xds/failure.ts';
import { istiodConfig } from '../istiod/support/rig.ts';
import { DELTA_METHOD, discoveryServer } from './support/discovery-server.ts';
import { encode } from './support/protobuf.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

const PATIENT: Patience = { connect: 20_000, keepalive: 20_000, keepaliveTimeout: 20_000 };

/** Opens a stream and asks. */
function open(port: number, patience: Patience): XdsStream {
  const context = {
    target: `127.0.0.1:${port}`,
    plaintext: true,
    caFile: '',
    tokenFile: '',
    tokenObjection: undefined,
    nodeId: 'ztunnel~me',
    nodeNamespace: 'observability',
  };
  const stream = openStream(
    istiodConfig(port),
    DELTA_METHOD,
    { roots: undefined, token: undefined },
    context,
    patience,
  );
  stream.send(encode('DeltaDiscoveryRequest', {}));
  return stream;
}

/** Gives the reason why a stream ends. */
async function failure(port: number, patience: Patience = PATIENT): Promise<XdsFailure> {
  try {
    for await (const _response of open(port, patience).responses());
  } catch (error) {
    return error as XdsFailure;
  }
  throw new Error('a stream ends by an error');
}

describe('a peer', () => {
  it('that accepts and says nothing is given up', async () => {
    const port = await listen(createServer());
    expect(await failure(port, { ...PATIENT, connect: 50 })).toMatchObject({
      kind: 'address',
      message: expect.stringContaining('does not answer within 50 ms'),
    });
  });

  it('that falls silent later is found out by pings', async () => {
    const server = await discoveryServer();
    closing.push(server.close);
    const sockets: Socket[] = [];
    const proxy = createServer((client) => {
      const upstream = createConnection({ port: server.port, host: '127.0.0.1' });
      sockets.push(client, upstream);
      for (const socket of [client, upstream]) socket.on('error', () => {});
      client.pipe(upstream).pipe(client);
    });
    const port = await listen(proxy);
    closing.push(() => {
      for (const socket of sockets) socket.destroy();
    });
    const ended = failure(port, { connect: 60_000, keepalive: 20, keepaliveTimeout: 300 });
    await expect.poll(() => server.streams.length, { timeout: 30_000 }).toBe(1);
    // Bytes go nowhere from here on, as with a cable that is pulled.
    for (const socket of sockets) socket.unpipe();
    for (const socket of sockets) socket.resume();
    expect(await ended).toMatchObject({ kind: 'ended', message: expect.stringContaining('no answer to a ping') });
  });

  it('that is gone while what it said is being looked at is not pinged', async () => {
    const server = createHttp2Server((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/grpc' });
      response.write(Buffer.from([0, 0, 0, 0, 1, 7]));
      // A stream can be read to its end though its connection is closed.
      response.end(Buffer.from([0, 0, 0, 0, 1, 8]), () => response.stream.session?.close());
    });
    const unhandled: Error[] = [];
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => void unhandled.push(error));
    onTestFinished(() => {
      process.removeAllListeners('uncaughtException');
      for (const listener of others) process.on('uncaughtException', listener);
    });
    const stream = open(await listen(server), { ...PATIENT, keepalive: 5 });
    const told: number[] = [];
    const ended = (async () => {
      for await (const response of stream.responses()) {
        for await (const piece of response.pieces()) told.push(...piece);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
    await expect(ended).rejects.toMatchObject({ kind: 'ended' });
    expect(told).toEqual([7, 8]);
    expect(unhandled).toEqual([]);
  });

  it('that hangs up ends the stream', async () => {
    const server = await discoveryServer({ onRequest: (stream) => stream.end() });
    closing.push(server.close);
    expect(await failure(server.port)).toMatchObject({ kind: 'ended', message: expect.stringContaining('has closed') });
  });

  it('that dies ends the stream', async () => {
    const server = await discoveryServer({ onRequest: () => server.close() });
    expect(await failure(server.port)).toMatchObject({ kind: 'ended' });
  });

  it('that is not there', async () => {
    const server = await discoveryServer();
    server.close();
    expect(await failure(server.port)).toMatchObject({
      kind: 'address',
      message: `nobody listens on 127.0.0.1:${server.port}. Is the control plane running? Check endpoint`,
    });
  });

  it('that is a web server', async () => {
    const port = await listen(createHttpServer((_request, response) => response.end('hello')));
    expect(await failure(port)).toMatchObject({
      kind: 'address',
      message: expect.stringContaining('does not speak HTTP/2 in plaintext'),
    });
  });

  it('that is a web server of HTTP/2', async () => {
    const server = createHttp2Server((_request, response) => {
      response.writeHead(404, { 'content-type': 'text/html' });
      response.end('<h1>Not found</h1>');
    });
    expect(await failure(await listen(server))).toMatchObject({
      kind: 'address',
      message: expect.stringContaining('as a web server would (HTTP status 404)'),
    });
  });

  it.each([
    ['compresses', [1, 0, 0, 0, 1, 7], 'a message is compressed'],
    ['sends more than can be', [0, 0xff, 0, 0, 0], 'a message has 4278190080 bytes'],
  ])('that %s', async (_name, bytes, message) => {
    const server = createHttp2Server((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/grpc' });
      response.write(Buffer.from(bytes));
    });
    expect(await failure(await listen(server))).toMatchObject({
      kind: 'protocol',
      message: expect.stringContaining(message),
    });
  });

  it.each([
    [3, 'missing node', 'protocol', 'does not take the node ztunnel~me (missing node)'],
    [7, 'not%20yours', 'permission', 'refuses this node (not yours)'],
    [8, '', 'protocol', 'has failed: RESOURCE_EXHAUSTED'],
    [12, 'unknown method', 'address', 'is a gRPC server, but no control plane (unknown method)'],
    [14, 'server not ready', 'ended', 'is not available (server not ready)'],
    [16, 'no%ZZ', 'token', 'does not accept the token (no%ZZ). No token was sent'],
    [99, '', 'protocol', 'has failed: 99'],
  ])('that ends the call with status %i', async (code, message, kind, text) => {
    const server = createHttp2Server((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/grpc', 'grpc-status': code, 'grpc-message': message });
      response.end();
    });
    expect(await failure(await listen(server))).toMatchObject({ kind, message: expect.stringContaining(text) });
  });
});
