/** The source beside a scripted control plane, and what its shelf then says. */

import { onTestFinished } from 'vitest';
import { Directory } from '../../../../../src/identity/directory.ts';
import { createAdsSource } from '../../../../../src/identity/sources/ads/source.ts';
import type { XdsConfig } from '../../../../../src/identity/sources/xds/config.ts';
import type { Machine } from '../../../../../src/identity/sources/xds/node.ts';
import type { Service, Workload } from '../../../../../src/identity/types.ts';
import { addressOf } from '../../../../../src/semconv/address.ts';
import { FakeClock, FakeLogger, FakeTelemetry, sourceSettings } from '../../../fakes.ts';
import { ControlPlane } from './control-plane.ts';

export const MACHINE: Machine = {
  env: { POD_NAME: 'tcpledger-x', POD_NAMESPACE: 'istio-system', POD_IP: '10.0.1.200', NODE_NAME: 'node-a' },
  hostname: () => 'node-a',
  addresses: () => ['10.0.1.200'],
};

export const configFor = (port: number, network = ''): XdsConfig => ({
  endpoint: { host: '127.0.0.1', port },
  token_file: '',
  tls: { ca_file: '', insecure: true, server_name_override: '' },
  cluster_id: 'Kubernetes',
  network,
});

/** Until `holds` is true; a test that waits in vain ends by the runner's time-out. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

export interface Rig {
  readonly plane: ControlPlane;
  readonly clock: FakeClock;
  readonly directory: Directory;
  readonly logger: FakeLogger;
  readonly telemetry: FakeTelemetry;
  readonly source: ReturnType<typeof createAdsSource>;
  workload(address: string): Workload | undefined;
  /** The service that is dialled by address and port, or that a workload at that address serves on that port. */
  service(address: string, port: number): Service | undefined;
  /** `host:port`s of services by the rule for dialled addresses: exact, then the workload's port, then the prefix. */
  hostname(address: string, port: number): string | undefined;
}

export interface RigOptions {
  readonly plane?: ControlPlane;
  readonly port?: number;
  readonly network?: string;
}

/** Everything ends with the test. */
export async function startRig(prepare: (plane: ControlPlane) => void, options: RigOptions = {}): Promise<Rig> {
  const plane = new ControlPlane();
  prepare(plane);
  await plane.start(options.port);
  return attach(plane, options.network);
}

export async function attach(plane: ControlPlane, network = ''): Promise<Rig> {
  const clock = new FakeClock();
  const directory = new Directory(clock);
  const logger = new FakeLogger();
  const telemetry = new FakeTelemetry();
  const source = createAdsSource(
    sourceSettings({ clock, directory, logger, telemetry }),
    configFor(plane.port, network),
    MACHINE,
  );
  onTestFinished(async () => {
    await source.shutdown();
    plane.stop();
  });
  await source.start();
  const { shelf } = source;
  const service = (address: string, port: number) => {
    const holder = shelf.byAddress(addressOf(address), undefined);
    const exact = shelf.services.byAddress(shelf.network, addressOf(address), undefined, port);
    if (exact) return exact.service;
    if (holder) return holder.backed.byTargetPort(port);
    return shelf.services.byPrefix(shelf.network, addressOf(address), undefined, port)?.service;
  };
  return {
    plane,
    clock,
    directory,
    logger,
    telemetry,
    source,
    workload: (address) => shelf.byAddress(addressOf(address), undefined)?.workload,
    service,
    hostname: (address, port) => service(address, port)?.hostname,
  };
}

/** A rig that has its whole state. */
export async function synced(prepare: (plane: ControlPlane) => void, options: RigOptions = {}): Promise<Rig> {
  const rig = await startRig(prepare, options);
  await until(() => rig.source.shelf.synced);
  return rig;
}
