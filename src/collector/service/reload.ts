/**
 * From the running configuration to a new one without a gap: what is unchanged goes on untouched. New components work
 * before data is switched to them, and the old stop after it; but for exporters and extensions whose successor may want
 * the same port or file: those stop first, and what arrives meanwhile goes to the successor. If a new component does
 * not start, the old ones come back.
 */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { Logger } from '../logger.ts';
import { compareConfigs, type Difference, type Part } from './difference.ts';
import { copyInstances, type Instance, type Instances, putInstance } from './instance.ts';
import { Interrupted, type Runtime } from './runtime.ts';
import { messageOf } from './stop.ts';

/** Of the old components' stop; half of what a shutdown has, so that a shutdown can wait for it. */
const STOP_MS = 5000;

export type ReloadResult =
  | { readonly ok: true; readonly changed: boolean; readonly warnings: readonly string[] }
  /** The old configuration goes on; `reasons` are lines for a person. */
  | { readonly ok: false; readonly reasons: readonly string[] };

export async function applyConfig(runtime: Runtime, after: ResolvedConfig, logger: Logger): Promise<ReloadResult> {
  const before = runtime.config!;
  const difference = compareConfigs(before, after);
  const step = new ReloadStep(runtime, before, difference);
  try {
    step.prepare();
  } catch (error) {
    step.abandon();
    return { ok: false, reasons: [messageOf(error)] };
  }
  try {
    await step.perform();
  } catch (error) {
    // On its way out the agent stops whatever is alive: nothing to restore.
    if (error instanceof Interrupted) return { ok: false, reasons: ['The agent is stopping'] };
    const reason = messageOf(error);
    logger.error(`${reason.replace(/\.$/, '')}. Going back to the configuration before`);
    await step.rollBack();
    return { ok: false, reasons: [reason] };
  }
  return { ok: true, changed: isChanged(before, difference), warnings: difference.warnings };
}

function isChanged(before: ResolvedConfig, { config, begun, ended }: Difference): boolean {
  const pipelines = JSON.stringify(before.pipelines) !== JSON.stringify(config.pipelines);
  return begun.length > 0 || ended.length > 0 || pipelines || before.logLevel !== config.logLevel;
}

class ReloadStep {
  readonly #runtime: Runtime;
  readonly #before: ResolvedConfig;
  readonly #difference: Difference;
  readonly #old: Instances;
  readonly #next: Instances;
  readonly #fresh: Instance[] = [];
  readonly #ending: Instance[];
  readonly #stopped: Instance[] = [];
  #redirect: () => ReadonlySet<string> = () => new Set();
  #switchOver: () => ReadonlySet<string> = () => new Set();

  constructor(runtime: Runtime, before: ResolvedConfig, difference: Difference) {
    this.#runtime = runtime;
    this.#before = before;
    this.#difference = difference;
    this.#old = runtime.instances;
    this.#next = copyInstances(this.#old);
    this.#ending = difference.ended.map(({ kind, config }) => this.#old[kind].get(config.id)!);
  }

  /** Creates everything and links it on paper. Throws what a component throws; nothing has changed then. */
  prepare(): void {
    for (const { kind, config } of this.#difference.ended) this.#next[kind].delete(config.id);
    for (const part of this.#difference.begun) {
      const instance = this.#runtime.create(part);
      this.#fresh.push(instance);
      putInstance(this.#next, instance);
    }
    const between = copyInstances(this.#old);
    for (const [id, exporter] of this.#next.exporter) if (between.exporter.has(id)) between.exporter.set(id, exporter);
    this.#redirect = this.#runtime.graph.plan(this.#before.pipelines, between);
    this.#switchOver = this.#runtime.graph.plan(this.#difference.config.pipelines, this.#next);
  }

  /** Takes what was created off the books. */
  abandon(): void {
    for (const instance of this.#fresh) this.#runtime.forget(instance);
  }

  async perform(): Promise<void> {
    const runtime = this.#runtime;
    const first = stopFirst(this.#ending, this.#fresh);
    if (first.length > 0) {
      runtime.feed(this.#fresh.filter(({ kind, config }) => kind === 'exporter' && this.#old.exporter.has(config.id)));
      this.#announce(this.#redirect());
      await this.#stop(first);
    }
    const receivers = this.#fresh.filter(({ kind }) => kind === 'receiver');
    await runtime.start(this.#fresh.filter(({ kind }) => kind !== 'receiver'));
    // A receiver that goes hands what it has to the pipelines that it had.
    await this.#stop(this.#ending.filter(({ kind }) => kind === 'receiver'));
    const changed = this.#switchOver();
    await runtime.start(receivers);
    runtime.instances = this.#next;
    runtime.config = this.#difference.config;
    this.#announce(changed, receivers);
    await this.#stop(this.#ending.filter((instance) => !this.#stopped.includes(instance)));
  }

  /** Makes what was stopped anew from its old section. If even that does not start, the agent cannot go on. */
  async rollBack(): Promise<void> {
    const runtime = this.#runtime;
    try {
      const restored = copyInstances(this.#old);
      const recreated = this.#stopped.map((instance) => runtime.create(instance));
      for (const instance of recreated) putInstance(restored, instance);
      runtime.instances = restored;
      const changed = runtime.graph.plan(this.#before.pipelines, restored)();
      await runtime.stop(this.#fresh, STOP_MS);
      this.abandon();
      await runtime.start(recreated);
      this.#announce(changed, recreated);
    } catch (error) {
      if (!(error instanceof Interrupted)) runtime.hosts.fail(error as Error);
    }
  }

  async #stop(instances: readonly Instance[]): Promise<void> {
    this.#stopped.push(...instances);
    await this.#runtime.stop(instances, STOP_MS);
  }

  /** A receiver that has just started has read its outputs as they are. */
  #announce(changed: ReadonlySet<string>, justStarted: readonly Instance[] = []): void {
    for (const id of changed) {
      const receiver = this.#runtime.instances.receiver.get(id);
      if (receiver !== undefined && !justStarted.includes(receiver)) receiver.component.outputsChanged?.();
    }
  }
}

/** Those whose port, file or journal a new one may want, and whoever leans on such an extension. */
function stopFirst(ending: readonly Instance[], beginning: readonly Part[]): Instance[] {
  const types = (kind: string) =>
    new Set(beginning.filter((part) => part.kind === kind).map(({ config }) => config.factory.type));
  const wanted = { exporter: types('exporter'), extension: types('extension') };
  const extensions = ending.filter(
    ({ kind, config }) => kind === 'extension' && wanted.extension.has(config.factory.type),
  );
  const extensionIds = new Set(extensions.map(({ config }) => config.id));
  const others = ending.filter(({ kind, config }) => {
    if (kind === 'exporter' && wanted.exporter.has(config.factory.type)) return true;
    return kind !== 'extension' && config.references.some((id) => extensionIds.has(id));
  });
  return [...others, ...extensions];
}
