/** What the process says about itself: CPU, memory, descriptors, start, the event loop's worst delay, the build. */
import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { MetricDefinition, Telemetry } from './telemetry.ts';

/** Rows of the metric registry. */
export interface ProcessDefinitions {
  readonly buildInfo: MetricDefinition;
  readonly eventLoopLag: MetricDefinition;
  readonly processCpuSeconds: MetricDefinition;
  readonly processResidentMemory: MetricDefinition;
  readonly processStartTime: MetricDefinition;
  readonly processOpenFds: MetricDefinition;
}

/**
 * The event loop is looked at this often; its timer holds nothing alive. A delay that is shorter is seen if it falls on a
 * look. Every look wakes the process, so twenty a second are a compromise with a node that only waits.
 */
const RESOLUTION_MS = 50;

/** Registers the observers; the returned function takes them off again. */
export function observeProcess(telemetry: Telemetry, definitions: ProcessDefinitions, version: string): () => void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const removers = [
    telemetry.observe(definitions.buildInfo, (report) => report(1, { version })),
    telemetry.observe(definitions.eventLoopLag, (report) => {
      // The histogram holds times between looks, so an idle loop shows the resolution itself. Empty: max is 0.
      report(Math.max(0, delay.max / 1e9 - RESOLUTION_MS / 1e3));
      delay.reset();
    }),
    telemetry.observe(definitions.processCpuSeconds, (report) => {
      const { user, system } = process.cpuUsage();
      report((user + system) / 1e6);
    }),
    telemetry.observe(definitions.processResidentMemory, (report) => report(process.memoryUsage.rss())),
    telemetry.observe(definitions.processStartTime, (report) => report(performance.timeOrigin / 1e3)),
    // One is the descriptor that reads the directory.
    telemetry.observe(definitions.processOpenFds, (report) => report(readdirSync('/proc/self/fd').length - 1)),
  ];
  return () => {
    for (const remove of removers) remove();
    delay.disable();
  };
}
