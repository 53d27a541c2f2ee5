/** The agent as a whole: one configuration running, reloaded, stopped. */
import type { LoadResult } from '../config/load.ts';
import { formatMistake, type Mistake } from '../config/mistake.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import { TcpledgerError } from '../errors.ts';
import { createLogger, type Level, type Logger } from '../logger.ts';
import type { Telemetry } from '../telemetry.ts';
import { noInstances, putInstance } from './instance.ts';
import { applyConfig, type ReloadResult } from './reload.ts';
import { Interrupted, partsOf, Runtime } from './runtime.ts';
import { messageOf } from './stop.ts';

export interface ServiceOptions {
  /** Shown in messages. */
  readonly configFile: string;
  /** Reads the configuration as it is now: `() => loadConfigFile(file, factories, process.env)`. */
  readonly load: () => Promise<LoadResult>;
  /** Takes whole lines of the agent's own log. */
  readonly write: (line: string) => void;
  readonly telemetry: Telemetry;
  readonly version: string;
}

export interface Service {
  /**
   * Resolves when every component works. Rejects with TCPL_E_CONFIG (the message holds all mistakes, a line each) or with
   * the error of the component that did not start; what had been started is stopped by then. Resolves early, with
   * nothing left running, when `shutdown` is called meanwhile.
   */
  start(): Promise<void>;
  /** Reads the configuration anew. Never rejects; what went wrong is logged, too. Reloads wait for each other. */
  reload(): Promise<ReloadResult>;
  /** SIGHUP, beside `reload`: outputs are opened anew, by name. */
  reopen(): Promise<void>;
  /** Stops everything, within `totalMs`. Never rejects. */
  shutdown(totalMs?: number): Promise<void>;
  /** Resolves with the first error that a running component cannot live with. The caller then stops the agent. */
  readonly failure: Promise<Error>;
  /** componentId → what it waits for. */
  notReady(): ReadonlyMap<string, string>;
  /** What runs; undefined before the start. */
  readonly config: ResolvedConfig | undefined;
}

const SHUTDOWN_MS = 10_000;

export function createService(options: ServiceOptions): Service {
  return new RunningService(options);
}

class RunningService implements Service {
  readonly #options: ServiceOptions;
  readonly #runtime: Runtime;
  readonly #logger: Logger;
  #level: Level = 'info';
  /** Start, reloads and reopenings, one after the other. */
  #work: Promise<unknown> = Promise.resolve();
  #shutdown: Promise<void> | undefined;

  constructor(options: ServiceOptions) {
    this.#options = options;
    const loggerFor = (component: string) => createLogger(component, () => this.#level, options.write);
    this.#logger = loggerFor('service');
    this.#runtime = new Runtime({ loggerFor, telemetry: options.telemetry, version: options.version });
  }

  get failure(): Promise<Error> {
    return this.#runtime.hosts.failure;
  }

  get config(): ResolvedConfig | undefined {
    return this.#runtime.config;
  }

  notReady(): ReadonlyMap<string, string> {
    return this.#runtime.hosts.notReady();
  }

  start(): Promise<void> {
    return this.#enqueue(() => this.#start());
  }

  reload(): Promise<ReloadResult> {
    return this.#enqueue(() => this.#reload());
  }

  reopen(): Promise<void> {
    return this.#enqueue(async () => {
      for (const { kind, config, component } of this.#runtime.live) {
        try {
          await component.reopen?.();
        } catch (error) {
          this.#logger.error(`Reopening the output of the ${kind} ${config.id} failed: ${messageOf(error)}`);
        }
      }
    });
  }

  shutdown(totalMs: number = SHUTDOWN_MS): Promise<void> {
    this.#shutdown ??= this.#stopAll(performance.now() + totalMs);
    return this.#shutdown;
  }

  async #start(): Promise<void> {
    const runtime = this.#runtime;
    const { config, mistakes } = await this.#options.load();
    if (config === undefined) throw new TcpledgerError('TCPL_E_CONFIG', this.#lines(mistakes).join('\n'));
    this.#level = config.logLevel;
    try {
      const instances = noInstances();
      const all = partsOf(config).map((part) => runtime.create(part));
      for (const instance of all) putInstance(instances, instance);
      runtime.graph.plan(config.pipelines, instances)();
      runtime.instances = instances;
      runtime.config = config;
      await runtime.start(all);
    } catch (error) {
      // `shutdown` stops what is alive itself.
      if (error instanceof Interrupted) return;
      runtime.config = undefined;
      await runtime.stop(runtime.live, SHUTDOWN_MS);
      throw error;
    }
    this.#logger.info(`Running with ${this.#options.configFile}: ${config.pipelines.map(({ id }) => id).join(', ')}`);
  }

  async #reload(): Promise<ReloadResult> {
    const { configFile } = this.#options;
    if (this.#runtime.interrupted) return { ok: false, reasons: ['The agent is stopping'] };
    if (this.#runtime.config === undefined) return { ok: false, reasons: ['The agent is not running'] };
    const { config, mistakes } = await this.#options.load();
    if (config === undefined) {
      const reasons = this.#lines(mistakes);
      for (const reason of reasons) this.#logger.error(reason);
      this.#logger.error(`${configFile} has mistakes and was not loaded; the configuration before stays`);
      return { ok: false, reasons };
    }
    const result = await applyConfig(this.#runtime, config, this.#logger);
    if (!result.ok) {
      const reasons = result.reasons.join('; ').replace(/\.$/, '');
      this.#logger.error(`${configFile} was not put to work: ${reasons}. The one before stays`);
      return result;
    }
    this.#level = config.logLevel;
    for (const warning of result.warnings) this.#logger.warn(warning);
    const nothing = result.warnings.length > 0 ? 'nothing else' : 'nothing';
    this.#logger.info(result.changed ? `${configFile} is reloaded` : `${configFile} is read again: ${nothing} changed`);
    return result;
  }

  async #stopAll(end: number): Promise<void> {
    this.#runtime.interrupt();
    // A reload that is stopping old components finishes that first; it has half of the usual time at most.
    await this.#work;
    const { live } = this.#runtime;
    await this.#runtime.stop(live, Math.max(0, end - performance.now()));
  }

  #lines(mistakes: readonly Mistake[]): string[] {
    return mistakes.map((mistake) => formatMistake(this.#options.configFile, mistake));
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#work.then(work);
    this.#work = result.catch(() => {});
    return result;
  }
}
