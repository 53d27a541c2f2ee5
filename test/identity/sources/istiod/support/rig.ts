/** The source against a control plane in this process, and the meshes that it is told of. */

import { expect } from 'vitest';
import { type Clock, systemClock } from '../../../../../src/identity/clock.ts';
import { Directory } from '../../../../../src/identity/directory.ts';
import type { Source } from '../../../../../src/identity/source.ts';
import { createIstiodSource, type IstiodConfig } from '../../../../../src/identity/sources/istiod/source.ts';
import type { Machine } from '../../../../../src/identity/sources/xds/node.ts';
import { addressOf } from '../../../../../src/semconv/address.ts';
import { FakeLogger, FakeTelemetry, sourceSettings } from '../../../fakes.ts';
import { encode } from '../../xds/support/protobuf.ts';

export const ADDRESS_TYPE = 'type.googleapis.com/istio.workload.Address';

export const MACHINE: Machine = {
  env: {
    POD_NAME: 'tcpledger-abc',
    POD_NAMESPACE: 'observability',
    NODE_NAME: 'node-1',
    ISTIO_META_DNS_CAPTURE: 'true',
  },
  hostname: () => 'host-1',
  addresses: () => ['192.0.2.7'],
};

export function istiodConfig(port: number, more: Partial<IstiodConfig> = {}): IstiodConfig {
  return {
    endpoint: { host: '127.0.0.1', port },
    token_file: '',
    tls: { ca_file: '', insecure: true, server_name_override: '' },
    cluster_id: 'Kubernetes',
    network: '',
    on_demand: false,
    ...more,
  };
}

export interface Rig {
  readonly source: Source;
  readonly directory: Directory;
  readonly logger: FakeLogger;
  readonly telemetry: FakeTelemetry;
  /** Name of who is at the address now. */
  at(address: string): string | undefined;
  /** Hostname of the service at the virtual address. */
  serviceAt(address: string): string | undefined;
  counter(name: string): number | undefined;
}

export function createRig(config: IstiodConfig, clock: Clock = systemClock): Rig {
  const logger = new FakeLogger();
  const telemetry = new FakeTelemetry();
  const directory = new Directory(clock);
  const source = createIstiodSource(sourceSettings({ logger, telemetry, clock, directory }), config, MACHINE);
  const { shelf } = source;
  return {
    source,
    directory,
    logger,
    telemetry,
    at: (address) => shelf.byAddress(addressOf(address), undefined)?.workload.name,
    serviceAt: (address) => shelf.services.byAddress(shelf.network, addressOf(address), undefined)?.service.hostname,
    counter: (name) => telemetry.values.get(`${name}{"source":"istiod"}`),
  };
}

/** As `expect.poll`, on a machine that may be busy with other things. */
export const eventually = <T>(look: () => T) => expect.poll(look, { timeout: 30_000, interval: 10 });

export const ip = (text: string): Buffer => Buffer.from(text.split('.').map(Number));

/** Of a pod `name` at the address. */
export function workload(name: string, address: string, more: object = {}): object {
  return {
    workload: {
      uid: uidOf(name),
      name: `${name}-abcde`,
      namespace: 'shop',
      workloadName: name,
      addresses: [ip(address)],
      ...more,
    },
  };
}

export const uidOf = (name: string): string => `Kubernetes//Pod/shop/${name}-abcde`;

export function service(name: string, address: string, more: object = {}): object {
  const hostname = `${name}.shop.svc.cluster.local`;
  return {
    service: {
      name,
      namespace: 'shop',
      hostname,
      addresses: [{ address: ip(address) }],
      ports: [{ servicePort: 80, targetPort: 8080 }],
      ...more,
    },
  };
}

export const serviceKey = (name: string): string => `shop/${name}.shop.svc.cluster.local`;

export function resource(name: string, address: object, version = ''): object {
  return { name, version, resource: { typeUrl: ADDRESS_TYPE, value: encode('Address', address) } };
}

/** A resource whose value breaks off within a field. */
export function broken(name: string, address: object): object {
  return { name, resource: { typeUrl: ADDRESS_TYPE, value: encode('Address', address).subarray(0, -3) } };
}

/** Resources by name. */
export const pod = (name: string, address: string, version = '', more: object = {}): object =>
  resource(uidOf(name), workload(name, address, more), version);

export const serviceResource = (name: string, address: string, version = '', more: object = {}): object =>
  resource(serviceKey(name), service(name, address, more), version);

let nonces = 0;

export interface Response {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly object[];
  readonly removedResources: readonly string[];
}

export function response(resources: readonly object[], removedResources: readonly string[] = []): Response {
  return { typeUrl: ADDRESS_TYPE, nonce: `nonce-${++nonces}`, resources, removedResources };
}
