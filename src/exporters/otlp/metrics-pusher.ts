/** Sends the state of the series tables and the agent's own telemetry: at every interval, and once more at the end. */

import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { MetricProducer } from '@opentelemetry/sdk-metrics';
import type { Logger } from '../../collector/logger.ts';
import type { Batch } from './batch.ts';
import { metricsRequests } from './metrics-requests.ts';
import { type ResourceAttributes, SCOPE_NAME } from './resource.ts';

export interface MetricsPusherOptions {
  readonly intervalMs: number;
  readonly resource: ResourceAttributes;
  readonly version: string;
  readonly logger: Logger;
  /** What there is to collect, asked each time. Nothing: nothing is sent. */
  readonly producers: () => Iterable<MetricProducer>;
  readonly send: (batch: Batch) => void;
}

export class MetricsPusher {
  readonly #options: MetricsPusherOptions;
  readonly #resource: Resource;
  #timer: NodeJS.Timeout | undefined;
  #pushing: Promise<void> | undefined;

  constructor(options: MetricsPusherOptions) {
    this.#options = options;
    this.#resource = resourceFromAttributes({ ...options.resource });
  }

  start(): void {
    this.#timer = setInterval(() => this.#push(), this.#options.intervalMs);
  }

  /** The last push. Resolves when everything has been handed to `send`. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#pushing;
    await this.#push();
  }

  /** A push that is still under way when its successor is due is the successor: points are cumulative. */
  #push(): Promise<void> {
    this.#pushing ??= this.#pushAll().finally(() => {
      this.#pushing = undefined;
    });
    return this.#pushing;
  }

  async #pushAll(): Promise<void> {
    const { producers, version, logger, send } = this.#options;
    try {
      const scope = { name: SCOPE_NAME, version };
      for await (const batch of metricsRequests(producers(), this.#resource, scope)) send(batch);
    } catch (error) {
      logger.error(`collecting metrics failed, they are sent at the next interval: ${(error as Error).message}`);
    }
  }
}
