/** A component that was created from its section, and the maps that hold the running ones. */
import type { Component, Exporter, Extension, Processor, Receiver } from '../component.ts';
import type { ComponentConfig, Kind } from '../config/resolved.ts';

export interface Instance<C extends Component = Component> {
  readonly kind: Kind;
  readonly config: ComponentConfig;
  readonly component: C;
}

/** The instances of one configuration, by id. */
export interface Instances {
  readonly receiver: Map<string, Instance<Receiver>>;
  readonly processor: Map<string, Instance<Processor>>;
  readonly exporter: Map<string, Instance<Exporter>>;
  readonly extension: Map<string, Instance<Extension>>;
}

export const noInstances = (): Instances => ({
  receiver: new Map(),
  processor: new Map(),
  exporter: new Map(),
  extension: new Map(),
});

export const copyInstances = (instances: Instances): Instances => ({
  receiver: new Map(instances.receiver),
  processor: new Map(instances.processor),
  exporter: new Map(instances.exporter),
  extension: new Map(instances.extension),
});

export function putInstance(instances: Instances, instance: Instance): void {
  (instances[instance.kind] as Map<string, Instance>).set(instance.config.id, instance);
}

/** What a component needs is started before it: extensions, then from the end of the data's way to its beginning. */
const START_ORDER: readonly Kind[] = ['extension', 'exporter', 'processor', 'receiver'];

export function inStartOrder<T extends { readonly kind: Kind }>(items: readonly T[]): T[] {
  return items.toSorted((a, b) => START_ORDER.indexOf(a.kind) - START_ORDER.indexOf(b.kind));
}
