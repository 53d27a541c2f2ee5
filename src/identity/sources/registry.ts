/** The identity sources of this build. A new one is a row here: its schema is its section of the configuration. */
import { boolean, described, object, string, withDefault } from '../../collector/schema.ts';
import { watchFile } from '../../collector/watch-file.ts';
import type { SourceType } from '../source.ts';
import { createAdsSource, describeAds } from './ads/source.ts';
import { createFileSource, describeFile, type FileConfig } from './file.ts';
import { createHostSource, describeHost } from './host.ts';
import { createIstiodSource, describeIstiod, type IstiodConfig } from './istiod/source.ts';
import { type KubernetesConfig, kubernetesSchema } from './kubernetes/config.ts';
import { describeKubernetes } from './kubernetes/describe.ts';
import { createKubernetesSource } from './kubernetes/source.ts';
import { type XdsConfig, xdsKeys } from './xds/config.ts';

const host: SourceType<object> = {
  type: 'host',
  description: 'Source host: systemd unit, container or executable of the local end. It has no keys',
  schema: object({}),
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
  needsExecutable: false,
  create: (settings, config) => createFileSource(settings, config, watchFile),
  describe: describeFile,
};

const kubernetes: SourceType<KubernetesConfig> = {
  type: 'kubernetes',
  description: "Source kubernetes: pods and services of a cluster, from its API server, by Istio's naming rules",
  schema: kubernetesSchema,
  needsExecutable: false,
  create: (settings, config) => createKubernetesSource(settings, config),
  describe: describeKubernetes,
};

const istiod: SourceType<IstiodConfig> = {
  type: 'istiod',
  description: "Source istiod: workloads and services from Istio's workload API, as ztunnel and Kmesh have them",
  schema: object({
    ...xdsKeys(),
    on_demand: described(
      'Ask for the addresses that connections have, not for everything: less memory in a large mesh, later names',
      withDefault(boolean(), 'false'),
    ),
  }),
  needsExecutable: false,
  create: (settings, config) => createIstiodSource(settings, config),
  describe: (config) => describeIstiod(config),
};

const ads: SourceType<XdsConfig> = {
  type: 'ads',
  description:
    "Source ads: services and the pods behind them as a sidecar is told, from istiod: Kmesh's kernel-native mode",
  schema: object(xdsKeys()),
  needsExecutable: false,
  create: (settings, config) => createAdsSource(settings, config),
  describe: (config) => describeAds(config),
};

/** Row types differ in their configuration; what is parsed by a row's schema goes to the same row's `create`. */
export const SOURCE_TYPES = { host, file, kubernetes, istiod, ads } as unknown as Readonly<Record<string, SourceType>>;
