/** What the receiver tells about the kernel half (telemetry.md §4). */
import type { Telemetry } from '../collector/telemetry.ts';
import { AGENT_METRICS } from '../semconv/registry.ts';
import type { Kernel } from './kernel.ts';
import { KERNEL_OPERATIONS, type KernelState } from './kernel-state.ts';
import type { RecordFeed } from './record-feed.ts';
import type { Recycler } from './recycler.ts';

/** Returns what takes it off again. */
export function observeKernel(
  telemetry: Telemetry,
  kernel: Kernel,
  state: KernelState,
  recycler: Recycler,
  records: RecordFeed,
): () => void {
  const observations = [
    telemetry.observe(AGENT_METRICS.accessLogDropped, (report) =>
      report(state.recordsDropped(), { reason: 'ring_full' }),
    ),
    telemetry.observe(AGENT_METRICS.pairOverflow, (report) => {
      for (const kind of ['coarse', 'unattributed'] as const) report(state.overflow(kind), { kind });
    }),
    telemetry.observe(AGENT_METRICS.kernelErrors, (report) => {
      for (const operation of KERNEL_OPERATIONS) report(state.errors(operation), { operation });
    }),
    telemetry.observe(AGENT_METRICS.mapEntries, (report) => {
      report(recycler.inUse, { map: 'slots' });
      for (const map of ['conns', 'listeners'] as const) report(state.entries(map), { map });
    }),
    telemetry.observe(AGENT_METRICS.mapCapacity, (report) => {
      report(kernel.slotCount, { map: 'slots' });
      report(kernel.maxConnections, { map: 'conns' });
    }),
    telemetry.observe(AGENT_METRICS.ringFill, (report) => report(records.fill())),
    telemetry.observe(AGENT_METRICS.slotsRecycled, (report) => report(recycler.recycled)),
    telemetry.observe(AGENT_METRICS.bpfRuns, (report) => {
      for (const program of kernel.programs) report(kernel.statistics(program).runs, { program });
    }),
    telemetry.observe(AGENT_METRICS.bpfRunSeconds, (report) => {
      for (const program of kernel.programs) report(kernel.statistics(program).runNs / 1e9, { program });
    }),
  ];
  return () => {
    for (const unobserve of observations) unobserve();
  };
}
