/** Whether what the configuration asks of this machine and of others can be had: ports, places for pins, names. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { loadConfigFile } from '../../collector/config/load.ts';
import type { ResolvedConfig } from '../../collector/config/resolved.ts';
import type { ErrorCode } from '../../collector/errors.ts';
import type { FileStorageConfig } from '../../collector/file-storage.ts';
import type { PrometheusConfig } from '../../exporters/prometheus/exporter.ts';
import type { ReceiverConfig } from '../../receiver/config.ts';
import { FACTORIES } from '../components.ts';
import { type Endpoint, endpoint } from './endpoint.ts';
import type { Finding } from './finding.ts';
import { asksConntrack, identitySources, knowsPods } from './identity-sources.ts';
import { outputs } from './outputs.ts';

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
      ...(await outputs(config)),
      ...storageDirectories(config),
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

const storageDirectories = (config: ResolvedConfig): Finding[] =>
  config.extensions
    .filter(({ factory }) => factory.type === 'file_storage')
    .map(({ id, config: section }) => {
      const mend = `run as a user who may write there, or choose another extensions.${id}.directory`;
      return writable('storage', (section as FileStorageConfig).directory, mend, 'TCPL_E_STORAGE');
    });

const pinPathWritable = (path: string): Finding =>
  writable(
    'pin path',
    path,
    'run as root, or choose another receivers.ebpf_tcp.pin_path below a BPF file system',
    'TCPL_E_PIN',
  );

/** Of a directory that the agent makes if it is missing. */
function writable(feature: string, path: string, mend: string, code: ErrorCode): Finding {
  try {
    let existing = resolve(path);
    while (!existsSync(existing)) existing = dirname(existing);
    if (!statSync(existing).isDirectory()) throw new Error(`${existing} is no directory`);
    accessSync(existing, constants.W_OK);
    return { feature, ok: true, detail: path };
  } catch (error) {
    return { feature, ok: false, detail: `${path}: ${(error as Error).message}`, mend, code };
  }
}
