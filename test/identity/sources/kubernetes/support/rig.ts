/** The source on a scripted API server, with a short patience. */

import { afterEach } from 'vitest';
import { systemClock } from '../../../../../src/identity/clock.ts';
import { Directory } from '../../../../../src/identity/directory.ts';
import type { Access } from '../../../../../src/identity/sources/kubernetes/access.ts';
import { KUBERNETES_DEFAULTS, type KubernetesConfig } from '../../../../../src/identity/sources/kubernetes/config.ts';
import { TIMING, type Timing } from '../../../../../src/identity/sources/kubernetes/reflector.ts';
import { createKubernetesSource } from '../../../../../src/identity/sources/kubernetes/source.ts';
import { addressOf } from '../../../../../src/semconv/address.ts';
import { FakeLogger, FakeTelemetry, sourceSettings } from '../../../fakes.ts';
import { ScriptedServer } from './scripted-server.ts';

/** Waits are short, silences long: whatever a test does not provoke does not happen. */
const QUICK: Timing = {
  ...TIMING,
  pageSize: 3,
  shortWatchMs: 0,
  healthyWatchMs: 0,
  backoff: { firstMs: 10, longestMs: 40 },
};

const undo: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

export async function startServer(...tls: ConstructorParameters<typeof ScriptedServer>): Promise<ScriptedServer> {
  const server = await new ScriptedServer(...tls).start();
  undo.push(() => server.stop());
  return server;
}

export interface RigOptions {
  readonly timing?: Partial<Timing>;
  readonly config?: Partial<KubernetesConfig>;
  readonly access?: () => Promise<Partial<Access>>;
}

export async function startSource(server: ScriptedServer, options: RigOptions = {}) {
  const rig = await createSource(server, options);
  await rig.source.start();
  return rig;
}

async function createSource(server: ScriptedServer, { timing, config, access }: RigOptions = {}) {
  const logger = new FakeLogger();
  const telemetry = new FakeTelemetry();
  const directory = new Directory(systemClock);
  /** What /readyz was told, in order. */
  const readiness: (string | undefined)[] = [];
  const settings = sourceSettings({
    logger,
    telemetry,
    directory,
    clock: systemClock,
    readinessChanged: () => readiness.push(source.missing()),
  });
  const { url } = server;
  const plain: Access = {
    server: url,
    origin: 'the test',
    ca: undefined,
    cert: undefined,
    key: undefined,
    serverName: undefined,
    verify: true,
    token: undefined,
    credentials: 'the token of the test',
  };
  const source = createKubernetesSource(
    settings,
    { ...KUBERNETES_DEFAULTS, ...config },
    {
      readAccess: async () => ({ ...plain, ...(await access?.()) }),
      timing: { ...QUICK, ...timing },
    },
  );
  undo.push(() => source.shutdown());
  const { shelf } = source;
  return {
    source,
    shelf,
    directory,
    logger,
    telemetry,
    readiness,
    /** Who has the address now, by the pod's name. */
    at: (address: string): string | undefined => shelf.byAddress(addressOf(address), undefined)?.workload.podName,
    lists: (kind: string) =>
      telemetry.values.get(`tcpledger_identity_lists${JSON.stringify({ source: 'kubernetes', kind })}`),
    failures: (reason: string) =>
      telemetry.values.get(`tcpledger_identity_failures${JSON.stringify({ source: 'kubernetes', reason })}`) ?? 0,
    malformed: (kind: string) =>
      telemetry.values.get(`tcpledger_identity_malformed_objects${JSON.stringify({ source: 'kubernetes', kind })}`),
  };
}
