/** Receivers of OTLP that are none, or are unwell. */
import { randomBytes } from 'node:crypto';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { status } from '@grpc/grpc-js';
import { grpcCollector } from '../../exporters/otlp-grpc/grpc-collector.ts';
import { httpCollector } from '../../exporters/otlp-http/http-collector.ts';

export interface BadCollector {
  readonly port: number;
  close(): void | Promise<void>;
}

/** What becomes of records sent to it. `kept`: they wait, until the agent stops. */
export type Fate = 'kept' | 'failed' | 'sent';

export interface BadCollectorKind {
  readonly name: string;
  readonly exporter: 'otlp_http' | 'otlp_grpc';
  readonly fate: Fate;
  /** What the agent says of it. */
  readonly told: RegExp;
  start(): Promise<BadCollector>;
}

/** A server that treats every connection like this. */
async function tcpServer(onConnection: (socket: Socket) => void): Promise<BadCollector> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    // the other end may reset it: that is part of the game
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Nobody listens there, nor begins to: it is below the ports that a bind to 0 gives. */
const NOBODYS_PORT = 7;

const away = async (): Promise<BadCollector> => ({ port: NOBODYS_PORT, close: () => undefined });
const silent = (): Promise<BadCollector> => tcpServer((socket) => socket.resume());
const noisy = (): Promise<BadCollector> => tcpServer((socket) => socket.resume().end(randomBytes(200)));
const hangsUp = (): Promise<BadCollector> => tcpServer((socket) => socket.destroy());

export const BAD_COLLECTORS: readonly BadCollectorKind[] = [
  { name: 'is away', exporter: 'otlp_http', fate: 'kept', told: /ECONNREFUSED/, start: away },
  { name: 'is away', exporter: 'otlp_grpc', fate: 'kept', told: /ECONNREFUSED/, start: away },
  { name: 'never answers', exporter: 'otlp_http', fate: 'kept', told: /no answer within 500 ms/, start: silent },
  { name: 'never answers', exporter: 'otlp_grpc', fate: 'kept', told: /DEADLINE_EXCEEDED|UNAVAILABLE/, start: silent },
  { name: 'answers garbage', exporter: 'otlp_http', fate: 'kept', told: /Parse Error/, start: noisy },
  { name: 'answers garbage', exporter: 'otlp_grpc', fate: 'kept', told: /UNAVAILABLE/, start: noisy },
  { name: 'hangs up', exporter: 'otlp_http', fate: 'kept', told: /ECONNRESET|socket hang up/, start: hangsUp },
  { name: 'hangs up', exporter: 'otlp_grpc', fate: 'kept', told: /UNAVAILABLE/, start: hangsUp },
  {
    name: 'is overloaded',
    exporter: 'otlp_http',
    fate: 'kept',
    told: /503/,
    start: () => httpCollector((response) => response.writeHead(503).end('too busy')),
  },
  {
    name: 'is overloaded',
    exporter: 'otlp_grpc',
    fate: 'kept',
    told: /UNAVAILABLE.*too busy/,
    start: () => grpcCollector((reply) => reply({ code: status.UNAVAILABLE, details: 'too busy' })),
  },
  {
    name: 'refuses',
    exporter: 'otlp_http',
    fate: 'failed',
    told: /failed for good: .*403/,
    start: () => httpCollector((response) => response.writeHead(403).end('not you')),
  },
  {
    name: 'refuses',
    exporter: 'otlp_grpc',
    fate: 'failed',
    told: /failed for good: .*PERMISSION_DENIED.*not you/,
    start: () => grpcCollector((reply) => reply({ code: status.PERMISSION_DENIED, details: 'not you' })),
  },
  {
    name: 'says yes in no language of OTLP',
    exporter: 'otlp_http',
    fate: 'sent',
    told: /its answer is no OTLP response/,
    start: () =>
      httpCollector((response) =>
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html>It works</html>'),
      ),
  },
  {
    name: 'says yes in no language of OTLP',
    exporter: 'otlp_grpc',
    fate: 'sent',
    told: /its answer is no OTLP response/,
    start: () => grpcCollector((reply) => reply(Buffer.from('<html>It works</html>'))),
  },
];
