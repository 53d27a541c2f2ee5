/** What components see of the agent: started extensions, readiness, and the way to say that it cannot go on. */
import type { Component, Host } from '../component.ts';
import type { Instance } from './instance.ts';

const STARTING = 'is starting';

export class Hosts {
  /** Resolves with the first error that a component cannot live with. Never rejects. */
  readonly failure: Promise<Error>;
  readonly #fail: (error: Error) => void;
  readonly #extensions = new Map<string, Component>();
  /** Per instance: at a reload two instances of one id live beside each other, and each speaks for itself. */
  readonly #missing = new Map<Instance, Map<string, string>>();

  constructor() {
    let fail: (error: Error) => void = () => {};
    this.failure = new Promise((resolve) => {
      fail = resolve;
    });
    this.#fail = fail;
  }

  fail(error: Error): void {
    this.#fail(error);
  }

  /** From now on until it is started or stopped it counts as not ready. */
  expect(instance: Instance): void {
    this.#missing.set(instance, new Map([[instance.config.id, STARTING]]));
  }

  hostFor(instance: Instance): Host {
    const missingHere = this.#missingOf(instance);
    return {
      extension: (id) => this.#extensions.get(id),
      setReady: (componentId, missing) => {
        if (missing === undefined) missingHere.delete(componentId);
        else missingHere.set(componentId, missing);
      },
      notReady: () => this.notReady(),
      fail: (error) => this.fail(error),
    };
  }

  notReady(): ReadonlyMap<string, string> {
    return new Map([...this.#missing.values()].flatMap((missing) => [...missing]));
  }

  started(instance: Instance): void {
    const missing = this.#missingOf(instance);
    // What it said about itself meanwhile stays.
    if (missing.get(instance.config.id) === STARTING) missing.delete(instance.config.id);
    if (instance.kind === 'extension') this.#extensions.set(instance.config.id, instance.component);
  }

  stopped(instance: Instance): void {
    this.#missing.delete(instance);
    const { id } = instance.config;
    if (this.#extensions.get(id) === instance.component) this.#extensions.delete(id);
  }

  #missingOf(instance: Instance): Map<string, string> {
    const missing = this.#missing.get(instance) ?? new Map<string, string>();
    this.#missing.set(instance, missing);
    return missing;
  }
}
