/** The identity sources of this build. A new one is a row here: its schema is its section of the configuration. */
import { described, object, string, withDefault } from '../../collector/schema.ts';
import { watchFile } from '../../collector/watch-file.ts';
import type { SourceType } from '../source.ts';
import { createFileSource, describeFile, type FileConfig } from './file.ts';
import { createHostSource, describeHost } from './host.ts';
import { KUBERNETES_DEFAULTS, type KubernetesConfig, kubernetesSchema } from './kubernetes/config.ts';
import { describeKubernetes } from './kubernetes/describe.ts';
import { createKubernetesSource } from './kubernetes/source.ts';

const host: SourceType<object | undefined> = {
  type: 'host',
  description: 'Source host: systemd unit, container or executable of the local end. It has no keys',
  schema: object({}),
  optional: true,
  needsExecutable: true,
  create: (settings) => createHostSource(settings),
  describe: () => describeHost(),
};

const file: SourceType<FileConfig> = {
  type: 'file',
  description:
    "Source file: workloads and services from a file in the layout of ztunnel's local XDS, reloaded on change",
  schema: object({
    path: described('The file, YAML or JSON; relative to the working directory', string()),
    network: described('The network this node is in, as the file names it', withDefault(string({ empty: true }), '""')),
  }),
  optional: false,
  needsExecutable: false,
  create: (settings, config) => createFileSource(settings, config, watchFile),
  describe: describeFile,
};

const kubernetes: SourceType<KubernetesConfig | undefined> = {
  type: 'kubernetes',
  description: "Source kubernetes: pods and services of a cluster, from its API server, by Istio's naming rules",
  schema: kubernetesSchema,
  optional: true,
  needsExecutable: false,
  create: (settings, config) => createKubernetesSource(settings, config ?? KUBERNETES_DEFAULTS),
  describe: (config) => describeKubernetes(config ?? KUBERNETES_DEFAULTS),
};

/** Row types differ in their configuration; what is parsed by a row's schema goes to the same row's `create`. */
export const SOURCE_TYPES = { host, file, kubernetes } as unknown as Readonly<Record<string, SourceType>>;
