/** The living components: creates, starts and stops them, and remembers which are alive. */
import type { Component, Exporter, Extension, Processor, Receiver, Settings } from '../component.ts';
import type { Kind, ResolvedConfig } from '../config/resolved.ts';
import { KINDS, SECTIONS } from '../config/resolved.ts';
import type { Logger } from '../logger.ts';
import type { Telemetry } from '../telemetry.ts';
import type { Part } from './difference.ts';
import { Graph } from './graph.ts';
import { Hosts } from './hosts.ts';
import { type Instance, type Instances, inStartOrder, noInstances } from './instance.ts';
import { stopInstances } from './stop.ts';

export interface RuntimeOptions {
  readonly loggerFor: (component: string) => Logger;
  readonly telemetry: Telemetry;
  readonly version: string;
}

/** The agent is told to stop while a component starts. Not a failure. */
export class Interrupted extends Error {}

export class Runtime {
  readonly graph = new Graph();
  readonly hosts = new Hosts();
  /** The configuration that runs, and its instances. */
  config: ResolvedConfig | undefined;
  instances: Instances = noInstances();
  /** Everything that data goes to or whose start has begun, and whose stop has not ended. */
  readonly #live = new Set<Instance>();
  readonly #options: RuntimeOptions;
  readonly #logger: Logger;
  readonly #interruption = new AbortController();

  constructor(options: RuntimeOptions) {
    this.#options = options;
    this.#logger = options.loggerFor('service');
  }

  get live(): readonly Instance[] {
    return [...this.#live];
  }

  get interrupted(): boolean {
    return this.#interruption.signal.aborted;
  }

  /** No further component starts; a start under way is waited for no longer. */
  interrupt(): void {
    this.#interruption.abort();
  }

  create({ kind, config }: Part): Instance {
    const { telemetry, version, loggerFor } = this.#options;
    const settings: Settings = { id: config.id, logger: loggerFor(config.id), telemetry, version };
    return { kind, config, component: this.#createComponent({ kind, config }, settings) };
  }

  #createComponent({ config }: Part, settings: Settings): Receiver | Processor | Exporter | Extension {
    const { factory, config: section, id } = config;
    if (factory.kind === 'receiver') return factory.create(settings, section, this.graph.outputsOf(id));
    return factory.create(settings, section) satisfies Component;
  }

  /** One after the other, in the order of START_ORDER. Rejects with the first failure, or with Interrupted. */
  async start(instances: readonly Instance[]): Promise<void> {
    const ordered = inStartOrder(instances);
    for (const instance of ordered) this.hosts.expect(instance);
    for (const instance of ordered) {
      if (this.interrupted) throw new Interrupted();
      this.#live.add(instance);
      this.#logger.debug(`Starting the ${instance.kind} ${instance.config.id}`);
      await this.#unlessInterrupted(instance.component.start(this.hosts.hostFor(instance)));
      this.hosts.started(instance);
    }
  }

  /**
   * Data goes to these before they are started. They are stopped with the others even if they never are: what they have
   * taken by then is theirs to count.
   */
  feed(instances: readonly Instance[]): void {
    for (const instance of instances) this.#live.add(instance);
  }

  async stop(instances: readonly Instance[], totalMs: number): Promise<void> {
    await stopInstances(
      instances.filter((instance) => this.#live.has(instance)),
      totalMs,
      this.#logger,
      (instance) => {
        this.#live.delete(instance);
        this.hosts.stopped(instance);
        this.forget(instance);
      },
    );
  }

  /** An instance that is stopped, or was never started. */
  forget(instance: Instance): void {
    this.hosts.stopped(instance);
    const { id } = instance.config;
    const successor = this.instances.receiver.get(id);
    const ownOutputs = instance.kind === 'receiver' && (successor === undefined || successor === instance);
    this.graph.forget(instance.component, ownOutputs ? id : undefined);
  }

  async #unlessInterrupted(work: Promise<void>): Promise<void> {
    const { signal } = this.#interruption;
    let interrupt: () => void = () => {};
    const interruption = new Promise<never>((_, reject) => {
      interrupt = () => reject(new Interrupted());
      signal.addEventListener('abort', interrupt, { once: true });
    });
    try {
      await Promise.race([work, interruption]);
    } finally {
      signal.removeEventListener('abort', interrupt);
    }
  }
}

/** All parts of a configuration. */
export function partsOf(config: ResolvedConfig): Part[] {
  return KINDS.flatMap((kind: Kind) => config[SECTIONS[kind]].map((component): Part => ({ kind, config: component })));
}
