/**
 * Pipelines as chains of consumers. A chain can be linked anew while data flows: each processor's way on is a switch, so
 * a processor that stays keeps what it holds back and hands it to the exporters of the day. Links change all at once,
 * between two batches.
 */
import type { AnyConsumer, Component, Exporter, Pipeline, Processor, ReceiverOutputs, Signal } from '../component.ts';
import type { PipelineConfig } from '../config/resolved.ts';
import { TcpledgerError } from '../errors.ts';
import type { Instances } from './instance.ts';

/** The same object for a receiver's whole life; its fields are what flows now. */
class Outputs implements ReceiverOutputs {
  metrics: AnyConsumer | undefined;
  logs: AnyConsumer | undefined;
  needsExecutable = false;

  /** True when something differs from before. */
  set({ metrics, logs, needsExecutable }: ReceiverOutputs): boolean {
    const same = this.metrics === metrics && this.logs === logs && this.needsExecutable === needsExecutable;
    this.metrics = metrics;
    this.logs = logs;
    this.needsExecutable = needsExecutable;
    return !same;
  }
}

class Switch implements AnyConsumer {
  target: AnyConsumer;

  constructor(target: AnyConsumer) {
    this.target = target;
  }

  consume(batch: unknown): void {
    this.target.consume(batch);
  }
}

/** Feeds each once, in order. Equal ones are one object, so that a reload that changes nothing is seen as such. */
class FanOut implements AnyConsumer {
  readonly consumers: readonly AnyConsumer[];

  constructor(consumers: readonly AnyConsumer[]) {
    this.consumers = consumers;
  }

  consume(batch: unknown): void {
    for (const consumer of this.consumers) consumer.consume(batch);
  }
}

/** One consumer is passed on as it is. `before` is returned when it feeds the same ones. */
function fanOut(all: Iterable<AnyConsumer>, before?: AnyConsumer): AnyConsumer | undefined {
  const consumers = [...new Set(all)];
  if (consumers.length < 2) return consumers[0];
  const unchanged =
    before instanceof FanOut &&
    before.consumers.length === consumers.length &&
    consumers.every((consumer, i) => consumer === before.consumers[i]);
  return unchanged ? before : new FanOut(consumers);
}

class PipelineNode implements Pipeline {
  readonly id: string;
  readonly signal: Signal;
  readonly #shared = new Map<string, unknown>();
  readonly #stages = new Map<Component, { readonly consumer: AnyConsumer; readonly next: Switch }>();
  readonly #sinks = new Map<Component, AnyConsumer>();

  constructor(id: string, signal: Signal) {
    this.id = id;
    this.signal = signal;
  }

  shared<T>(key: string, create: () => T): T {
    if (!this.#shared.has(key)) this.#shared.set(key, create());
    return this.#shared.get(key) as T;
  }

  /** What the exporter gave for this pipeline: it is asked once. */
  sink(id: string, exporter: Exporter): AnyConsumer {
    let sink = this.#sinks.get(exporter);
    if (sink === undefined) {
      sink = exporter[this.signal]?.(this) ?? this.#unable('exporter', id);
      this.#sinks.set(exporter, sink);
    }
    return sink;
  }

  /** What the processor made for this pipeline, and the switch behind it; a new one begins with `target`. */
  stage(id: string, processor: Processor, target: AnyConsumer) {
    let stage = this.#stages.get(processor);
    if (stage === undefined) {
      const next = new Switch(target);
      stage = { consumer: processor[this.signal]?.(next, this) ?? this.#unable('processor', id), next };
      this.#stages.set(processor, stage);
    }
    return stage;
  }

  forget(component: Component): void {
    this.#stages.delete(component);
    this.#sinks.delete(component);
  }

  #unable(kind: string, id: string): never {
    const what = `The ${kind} ${id} says it does ${this.signal}, but made nothing for the pipeline ${this.id}`;
    throw new TcpledgerError('TCPL_E_INTERNAL', `${what}. This is a mistake in the program: please report it.`);
  }
}

export class Graph {
  #pipelines = new Map<string, PipelineNode>();
  readonly #outputs = new Map<string, Outputs>();

  outputsOf(receiverId: string): ReceiverOutputs {
    return this.#outputsOf(receiverId);
  }

  /**
   * Makes the chains for these pipelines and returns the step that puts them in place and tells which receivers' outputs
   * it changed. Until then nothing has changed. Throws what a component throws when it is asked for its consumer.
   */
  plan(pipelines: readonly PipelineConfig[], instances: Instances): () => ReadonlySet<string> {
    const nodes = new Map<string, PipelineNode>();
    const links: { readonly from: Switch; readonly to: AnyConsumer }[] = [];
    const heads: {
      readonly pipeline: PipelineConfig;
      readonly consumers: readonly AnyConsumer[];
      readonly executable: boolean;
    }[] = [];
    for (const pipeline of pipelines) {
      const node = this.#pipelines.get(pipeline.id) ?? new PipelineNode(pipeline.id, pipeline.signal);
      nodes.set(pipeline.id, node);
      const sinks = pipeline.exporters.map((id) => node.sink(id, instances.exporter.get(id)!.component));
      const processors = pipeline.processors.map((id) => ({ id, processor: instances.processor.get(id)!.component }));
      let consumers: readonly AnyConsumer[] = sinks;
      for (const { id, processor } of processors.toReversed()) {
        const target = fanOut(consumers)!;
        const stage = node.stage(id, processor, target);
        links.push({ from: stage.next, to: target });
        consumers = [stage.consumer];
      }
      const executable = processors.some(({ processor }) => processor.needsExecutable === true);
      heads.push({ pipeline, consumers, executable });
    }
    return () => {
      for (const { from, to } of links) from.target = to;
      this.#pipelines = nodes;
      const changed = new Set<string>();
      for (const [id, outputs] of this.#outputs) {
        const mine = heads.filter(({ pipeline }) => pipeline.receivers.includes(id));
        const of = (signal: Signal) =>
          fanOut(
            mine.filter(({ pipeline }) => pipeline.signal === signal).flatMap(({ consumers }) => consumers),
            outputs[signal],
          );
        const needsExecutable = mine.some(({ executable }) => executable);
        if (outputs.set({ metrics: of('metrics'), logs: of('logs'), needsExecutable })) changed.add(id);
      }
      return changed;
    };
  }

  /** The component is gone: its consumers are not handed out again. */
  forget(component: Component, receiverId?: string): void {
    for (const node of this.#pipelines.values()) node.forget(component);
    if (receiverId !== undefined) this.#outputs.delete(receiverId);
  }

  #outputsOf(receiverId: string): Outputs {
    let outputs = this.#outputs.get(receiverId);
    if (outputs === undefined) {
      outputs = new Outputs();
      this.#outputs.set(receiverId, outputs);
    }
    return outputs;
  }
}
