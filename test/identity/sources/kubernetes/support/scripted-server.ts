/**
 * An API server that does as it is told: it lists in pages, watches, resumes and sends bookmarks as the real one does,
 * and on demand it refuses, drops, stalls, lies and garbles.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

export type ResourceName = 'pods' | 'services' | 'endpointslices' | 'nodes' | 'namespaces';

// biome-ignore lint/suspicious/noExplicitAny: objects as the API has them
export type KubeObject = any;

export interface Asked {
  readonly resource: ResourceName;
  readonly verb: 'list' | 'watch';
  readonly query: URLSearchParams;
  readonly token: string | undefined;
}

/** What a request is answered with instead. `body` objects are sent as JSON. */
export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | object;
  /** Cut the connection off behind the body. */
  readonly cut?: boolean;
  /** Leave the answer unfinished behind the body; before the headers if there is no body. */
  readonly stall?: boolean;
}

/** undefined: answer as usual. */
export type Script = (asked: Asked) => Answer | undefined;

interface Watch {
  readonly resource: ResourceName;
  readonly response: ServerResponse;
  stalled: boolean;
}

interface Event {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject;
}

const status = (code: number, message: string) => ({
  kind: 'Status',
  apiVersion: 'v1',
  status: 'Failure',
  message,
  code,
});

export class ScriptedServer {
  /** Every request, in order. */
  readonly asked: Asked[] = [];
  /** Asked for each request, the newest first; the first that answers wins. */
  readonly scripts: Script[] = [];
  /** undefined: anybody. */
  tokens: Set<string> | undefined;
  readonly #objects = new Map<ResourceName, Map<string, KubeObject>>();
  readonly #log = new Map<ResourceName, Event[]>();
  readonly #watches = new Set<Watch>();
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #secure: boolean;
  #version = 100;
  /** Older versions are gone. */
  #compacted = 0;

  constructor(tls?: ServerOptions) {
    this.#secure = tls !== undefined;
    const handle = (request: IncomingMessage, response: ServerResponse) => this.#handle(request, response);
    this.#server = tls ? createTlsServer(tls, handle) : createServer(handle);
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  get url(): string {
    return `${this.#secure ? 'https' : 'http'}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    return this;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cutOff();
    await closed;
  }

  /** Called with each connection, once it is secure where it is to be. */
  onConnection(listener: (socket: Socket) => void): void {
    this.#server.on(this.#secure ? 'secureConnection' : 'connection', listener);
  }

  /** Cuts all connections. */
  cutOff(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Creates or replaces (by namespace and name) and tells the watches. */
  put(resource: ResourceName, object: KubeObject): void {
    const objects = this.#of(this.#objects, resource, () => new Map());
    const key = keyOf(object);
    const type = objects.has(key) ? 'MODIFIED' : 'ADDED';
    const versioned = this.#versioned(object);
    objects.set(key, versioned);
    this.#tell(resource, { version: this.#version, type, object: versioned });
  }

  remove(resource: ResourceName, object: KubeObject): void {
    const objects = this.#of(this.#objects, resource, () => new Map());
    const last = objects.get(keyOf(object)) ?? object;
    objects.delete(keyOf(object));
    this.#tell(resource, { version: this.#version + 1, type: 'DELETED', object: this.#versioned(last) });
  }

  /** As `remove` or `put`, but nobody is told: what a watch that was away has missed. */
  removeSilently(resource: ResourceName, object: KubeObject): void {
    this.#version++;
    this.#objects.get(resource)?.delete(keyOf(object));
  }

  /** Watches can no longer go on from a version before now. */
  compact(): void {
    this.#compacted = ++this.#version;
    this.#log.clear();
  }

  bookmark(resource: ResourceName): void {
    const object = { kind: 'Bookmark', metadata: { resourceVersion: String(++this.#version) } };
    this.send(resource, `${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  }

  error(resource: ResourceName, code: number, message: string): void {
    this.send(resource, `${JSON.stringify({ type: 'ERROR', object: status(code, message) })}\n`);
  }

  /** Raw bytes on the open watches of a resource. */
  send(resource: ResourceName, bytes: string | Buffer): void {
    for (const watch of this.#watches) if (watch.resource === resource && !watch.stalled) watch.response.write(bytes);
  }

  /** The server ends the watches in good order. */
  endWatches(resource: ResourceName): void {
    for (const watch of this.#taken(resource)) watch.response.end();
  }

  /** The connections are cut off. */
  dropWatches(resource: ResourceName): void {
    for (const watch of this.#taken(resource)) watch.response.destroy();
  }

  /** The watches stay open and say nothing more, whatever happens. */
  stallWatches(resource: ResourceName): void {
    for (const watch of this.#watches) if (watch.resource === resource) watch.stalled = true;
  }

  watchCount(resource: ResourceName): number {
    return [...this.#watches].filter((watch) => watch.resource === resource).length;
  }

  count(verb: 'list' | 'watch', resource: ResourceName): number {
    return this.asked.filter((asked) => asked.verb === verb && asked.resource === resource).length;
  }

  /** Answers the next request that fits with this. */
  once(verb: 'list' | 'watch', resource: ResourceName, answer: Answer): void {
    let used = false;
    this.scripts.unshift((asked) => {
      if (used || asked.verb !== verb || asked.resource !== resource) return undefined;
      used = true;
      return answer;
    });
  }

  /** The watches of a resource, which are told nothing any more. */
  #taken(resource: ResourceName): Watch[] {
    const watches = [...this.#watches].filter((watch) => watch.resource === resource);
    for (const watch of watches) this.#watches.delete(watch);
    return watches;
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://server');
    const resource = pathname.replace(/^\/api\/v1\/|^\/apis\/discovery\.k8s\.io\/v1\//, '') as ResourceName;
    const verb = query.get('watch') === 'true' ? 'watch' : 'list';
    const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1];
    const asked = { resource, verb, query, token } as const;
    this.asked.push(asked);
    const answer = this.#answer(asked);
    if (answer) send(response, answer);
    else this.#watch(resource, query, response);
  }

  /** undefined: the watch begins. */
  #answer(asked: Asked): Answer | undefined {
    const { resource, verb, query, token } = asked;
    for (const script of this.scripts) {
      const answer = script(asked);
      if (answer) return answer;
    }
    if (this.tokens && !this.tokens.has(token ?? '')) return { status: 401, body: status(401, 'Unauthorized') };
    const [kind, name] = resource.split('/');
    if (name !== undefined) {
      const found = this.#objects.get(kind as ResourceName)?.get(`/${name}`);
      return found ? { body: found } : { status: 404, body: status(404, `${kind} "${name}" not found`) };
    }
    if (verb === 'list') return this.#list(resource, query);
    const from = Number(query.get('resourceVersion'));
    if (from >= this.#compacted) return undefined;
    return { status: 410, body: status(410, `too old resource version: ${from}`) };
  }

  #list(resource: ResourceName, query: URLSearchParams): Answer {
    const limit = Number(query.get('limit') ?? 0);
    const [at = 0, version = this.#version] = (query.get('continue') ?? '').split('@').filter(Boolean).map(Number);
    if (version < this.#compacted)
      return { status: 410, body: status(410, 'The provided continue parameter is too old') };
    const objects = [...(this.#objects.get(resource)?.values() ?? [])];
    const end = limit > 0 ? at + limit : objects.length;
    const metadata = {
      resourceVersion: String(version),
      ...(end < objects.length && { continue: `${end}@${version}`, remainingItemCount: objects.length - end }),
    };
    return { body: { kind: 'List', apiVersion: 'v1', metadata, items: objects.slice(at, end) } };
  }

  #watch(resource: ResourceName, query: URLSearchParams, response: ServerResponse): void {
    const from = Number(query.get('resourceVersion'));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const watch: Watch = { resource, response, stalled: false };
    this.#watches.add(watch);
    response.once('close', () => this.#watches.delete(watch));
    for (const event of this.#log.get(resource) ?? []) if (event.version > from) writeEvent(response, event);
  }

  #versioned(object: KubeObject): KubeObject {
    return { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } };
  }

  #tell(resource: ResourceName, event: Event): void {
    this.#of(this.#log, resource, () => []).push(event);
    for (const watch of this.#watches)
      if (watch.resource === resource && !watch.stalled) writeEvent(watch.response, event);
  }

  #of<T>(map: Map<ResourceName, T>, resource: ResourceName, create: () => T): T {
    const value = map.get(resource) ?? create();
    map.set(resource, value);
    return value;
  }
}

const keyOf = ({ metadata }: KubeObject): string => `${metadata.namespace ?? ''}/${metadata.name}`;

function writeEvent(response: ServerResponse, { type, object }: Event): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}

function send(response: ServerResponse, { status: code = 200, headers = {}, body, cut, stall }: Answer): void {
  if (stall && body === undefined) return;
  const text = typeof body === 'string' ? body : JSON.stringify(body ?? {});
  response.writeHead(code, { 'content-type': 'application/json', ...headers });
  if (!cut && !stall) response.end(text);
  else response.write(text, () => cut && response.destroy());
}
