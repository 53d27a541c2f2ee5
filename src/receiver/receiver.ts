/** The receiver `ebpf_tcp`: its factory and its life. What it does while it runs is in running.ts. */
import type { Receiver, ReceiverFactory, ReceiverOutputs, Settings } from '../collector/component.ts';
import { RECEIVER_SCHEMA, type ReceiverConfig } from './config.ts';
import { openKernel } from './open-kernel.ts';
import { RECYCLER_DEFAULTS } from './recycler.ts';
import { type ReceiverDependencies, type Running, startReceiver } from './running.ts';

const DEPENDENCIES: ReceiverDependencies = { openKernel, recycler: RECYCLER_DEFAULTS };

export const ebpfTcpReceiver: ReceiverFactory<ReceiverConfig> = {
  kind: 'receiver',
  type: 'ebpf_tcp',
  description: 'Counts every TCP connection of the node in the kernel, by eBPF',
  schema: RECEIVER_SCHEMA,
  signals: ['metrics', 'logs'],
  produces: 'connections',
  create: (settings, config, outputs) => createReceiver(settings, config, outputs),
};

export function createReceiver(
  settings: Settings,
  config: ReceiverConfig,
  outputs: ReceiverOutputs,
  dependencies: ReceiverDependencies = DEPENDENCIES,
): Receiver {
  let starting: Promise<Running> | undefined;
  let running: Running | undefined;
  return {
    async start(host) {
      host.setReady(settings.id, 'the BPF programs are not attached');
      starting = startReceiver(settings, config, outputs, host, dependencies);
      running = await starting;
      host.setReady(settings.id, undefined);
    },
    async shutdown(deadline) {
      /* a start under way has programs to take off as well; one that failed has told why, and left none */
      const started = await starting?.catch(() => undefined);
      starting = undefined;
      running = undefined;
      await started?.stop(deadline);
    },
    outputsChanged: () => running?.outputsChanged(),
  };
}
