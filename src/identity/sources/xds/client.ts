/**
 * A stream that is always wanted: opened, opened again with back-off when it ends, and told about. What goes over it is
 * a session's business: one object for each stream, made by the source.
 */
import type { Logger } from '../../../collector/logger.ts';
import type { CounterHandle, Telemetry } from '../../../collector/telemetry.ts';
import { AGENT_METRICS } from '../../../semconv/registry.ts';
import type { Clock } from '../../clock.ts';
import { Backoff } from './backoff.ts';
import { endpointText, type XdsConfig } from './config.ts';
import { dial } from './dial.ts';
import { XdsFailure } from './failure.ts';
import { type IncomingMessage, whole } from './grpc-messages.ts';
import type { Machine, NodeFacts } from './node.ts';

export type Send = (request: Buffer) => void;

/**
 * What is said over one stream. A response is handled before the next is read; answers go through the `send` that the
 * session was made with. A rejection with an XdsFailure (`protocol`) or a MalformedMessage says that nothing can be made
 * of the response: the stream is given up.
 */
export type XdsSession = WholeSession | PiecewiseSession;

interface Opening {
  /** The first requests. `node`: the encoded node message, which the first one carries. */
  open(node: Buffer): void | Promise<void>;
}

export interface WholeSession extends Opening {
  receive(response: Buffer): Promise<void>;
}

export interface PiecewiseSession extends Opening {
  receivePieces(response: IncomingMessage): Promise<void>;
}

export interface XdsClientParts {
  /** The source's name: in messages and in the label `source`. */
  readonly name: string;
  /** As `/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources`. */
  readonly method: string;
  readonly kind: NodeFacts['kind'];
  readonly config: XdsConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  readonly session: (send: Send) => XdsSession;
  /** `problem` says something else. */
  readonly onProblem: () => void;
  readonly machine?: Machine;
}

export class XdsClient {
  /** Resources or messages that were refused: the session counts them. */
  readonly nacks: CounterHandle;
  readonly #parts: XdsClientParts;
  readonly #reconnects: CounterHandle;
  readonly #backoff = new Backoff();
  readonly #undo: (() => void)[] = [];
  #running: Promise<void> | undefined;
  #stopped = false;
  /** Ends what is being waited for: a stream, or the time until the next. */
  #interrupt: () => void = () => {};
  #connected = false;
  #lastMessageMs: number | undefined;
  #problem: string | undefined;

  constructor(parts: XdsClientParts) {
    this.#parts = parts;
    const source = { source: parts.name };
    this.nacks = parts.telemetry.counter(AGENT_METRICS.identityNacks, source);
    this.#reconnects = parts.telemetry.counter(AGENT_METRICS.identityReconnects, source);
  }

  /** `host:port`. */
  get target(): string {
    return endpointText(this.#parts.config.endpoint);
  }

  /** Why there is no stream now, as far as it is known; undefined while there is one that works. */
  get problem(): string | undefined {
    return this.#problem;
  }

  start(): void {
    const { clock, telemetry, name } = this.#parts;
    this.#undo.push(
      telemetry.observe(AGENT_METRICS.identityConnected, (report) => report(this.#connected ? 1 : 0, { source: name })),
      telemetry.observe(AGENT_METRICS.identityLastMessageAge, (report) => {
        if (this.#lastMessageMs !== undefined) report((clock.now() - this.#lastMessageMs) / 1000, { source: name });
      }),
    );
    this.#running = this.#run();
  }

  async shutdown(): Promise<void> {
    this.#stopped = true;
    this.#interrupt();
    await this.#running;
    for (const undo of this.#undo.splice(0)) undo();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#stream();
      } catch (error) {
        if (this.#stopped) return;
        this.#tell(error as Error);
      } finally {
        this.#connected = false;
      }
      await this.#pause(this.#backoff.next());
      if (!this.#stopped) this.#reconnects.add(1);
    }
  }

  /** One stream from its beginning to its end, which is always an error. */
  async #stream(): Promise<void> {
    const { config, method, kind, clock, machine, session: createSession } = this.#parts;
    const { stream, node } = await dial(config, method, kind, clock.now(), machine);
    this.#interrupt = () => stream.close();
    if (this.#stopped) this.#interrupt();
    try {
      const session = createSession((request) => stream.send(request));
      await session.open(node);
      for await (const response of stream.responses()) {
        this.#lastMessageMs = clock.now();
        if ('receivePieces' in session) await session.receivePieces(response);
        else await session.receive(await whole(response));
        this.#worked();
      }
    } finally {
      stream.close();
    }
  }

  #worked(): void {
    this.#backoff.reset();
    if (this.#connected) return;
    this.#connected = true;
    this.#parts.logger.info(`${this.#problem === undefined ? 'connected' : 'connected again'} to ${this.target}`);
    this.#setProblem(undefined);
  }

  /** A stream that worked and is over is nothing to worry about; what keeps it from coming back is, and is told once. */
  #tell(error: Error): void {
    const failure =
      error instanceof XdsFailure
        ? error
        : new XdsFailure('protocol', `the stream from ${this.target} makes no sense: ${error.message}`);
    const { logger, name: source, telemetry } = this.#parts;
    telemetry.counter(AGENT_METRICS.identityFailures, { source, reason: failure.kind }).add(1);
    const text = failure.message;
    if (this.#connected) logger.info(`${text}; connecting again, what is known stays`);
    else if (text !== this.#problem) logger.warn(`${text}. Trying again, what is known stays`);
    this.#setProblem(text);
  }

  #setProblem(problem: string | undefined): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#parts.onProblem();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.schedule(ms, resolve);
      this.#interrupt = () => {
        cancel();
        resolve();
      };
      if (this.#stopped) this.#interrupt();
    });
  }
}
