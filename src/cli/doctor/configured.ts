/** Whether what the configuration asks of this machine and of others can be had: ports, places for pins, names. */
import { accessSync, constants, existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { loadConfigFile } from '../../collector/config/load.ts';
import type { ResolvedConfig } from '../../collector/config/resolved.ts';
import type { PrometheusConfig } from '../../exporters/prometheus/exporter.ts';
import type { ReceiverConfig } from '../../receiver/config.ts';
import { FACTORIES } from '../components.ts';
import { type Endpoint, endpoint } from './endpoint.ts';
import type { Finding } from './finding.ts';
import { asksConntrack, identitySources, knowsPods } from './identity-sources.ts';

export interface Configured {
  readonly findings: readonly Finding[];
  /** Some receiver keeps its maps in a BPF file system. */
  readonly pins: boolean;
  /** Some source knows pods by what the node's cgroups call them. */
  readonly pods: boolean;
  /** Some processor asks connection tracking. */
  readonly conntrack: boolean;
}

export async function configured(file: string): Promise<Configured> {
  const { config, mistakes } = await loadConfigFile(file, FACTORIES, process.env);
  if (config === undefined) {
    const detail = `${file}: ${mistakes.length === 1 ? 'one mistake' : `${mistakes.length} mistakes`}`;
    const mend = `tcpledger validate --config ${file} tells each`;
    return {
      findings: [{ feature: 'configuration', ok: false, detail, mend, code: 'TCPL_E_CONFIG' }],
      pins: false,
      pods: false,
      conntrack: false,
    };
  }
  const pinPaths = pinPathsOf(config);
  return {
    findings: [
      { feature: 'configuration', ok: true, detail: file },
      ...(await Promise.all(endpointsOf(config).map(endpoint))),
      ...pinPaths.map(pinPathWritable),
      ...(await identitySources(config)),
    ],
    pins: pinPaths.length > 0,
    pods: knowsPods(config),
    conntrack: asksConntrack(config),
  };
}

const endpointsOf = (config: ResolvedConfig): Endpoint[] =>
  config.exporters
    .filter(({ factory }) => factory.type === 'prometheus')
    .map((exporter) => ({ id: exporter.id, ...(exporter.config as PrometheusConfig).endpoint }));

const pinPathsOf = (config: ResolvedConfig): string[] =>
  config.receivers
    .filter(({ factory }) => factory.type === 'ebpf_tcp')
    .map((receiver) => (receiver.config as ReceiverConfig).pin_path)
    .filter((path) => path !== '');

function pinPathWritable(path: string): Finding {
  let existing = path;
  while (!existsSync(existing)) existing = dirname(existing);
  const feature = 'pin path';
  try {
    accessSync(existing, constants.W_OK);
    return { feature, ok: true, detail: path };
  } catch (error) {
    const mend = 'run as root, or choose another receivers.ebpf_tcp.pin_path below a BPF file system';
    return { feature, ok: false, detail: `${path}: ${(error as Error).message}`, mend, code: 'TCPL_E_PIN' };
  }
}
