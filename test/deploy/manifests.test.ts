/** deploy/: the DaemonSet, the configurations beside it, and what each expects of the other. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { FACTORIES } from '../../src/cli/components.ts';
import { loadConfigFile } from '../../src/collector/config/load.ts';
import { configuredSources, type IdentityConfig } from '../../src/identity/config.ts';
import { ALL_RESOURCES } from '../../src/identity/sources/kubernetes/resources.ts';
import { SOURCE_TYPES } from '../../src/identity/sources/registry.ts';
import { parseWorkloadFile } from '../../src/identity/sources/workload-file.ts';
import type { XdsConfig } from '../../src/identity/sources/xds/config.ts';
import { createNode } from '../../src/identity/sources/xds/node.ts';
import { NEEDED_CAPABILITIES } from '../../src/receiver/capabilities.ts';

/** A manifest or a part of one, as far as a test looks into it. */
// biome-ignore lint/suspicious/noExplicitAny: Kubernetes' types are not here, and a wrong path fails the test
type Manifest = any;

function manifests(file: string): Manifest[] {
  const documents = parseAllDocuments(readFileSync(join('deploy', file), 'utf8'));
  for (const { errors } of documents) expect(errors).toEqual([]);
  return documents.map((document) => document.toJS());
}

const daemonSet = (): Manifest => manifests('daemonset.yaml').find(({ kind }) => kind === 'DaemonSet');
const podSpec = (): Manifest => daemonSet().spec.template.spec;
const container = (): Manifest => podSpec().containers[0];

/** The variables that a container has, with what a cluster would put in. */
function environment(): Record<string, string> {
  const fields: Record<string, string> = {
    'spec.nodeName': 'node-1',
    'status.hostIP': '192.0.2.1',
    'metadata.name': 'tcpledger-abcde',
    'metadata.namespace': daemonSet().metadata.namespace,
    'status.podIP': '192.0.2.1',
    'status.podIPs': '192.0.2.1,2001:db8::1',
  };
  const entries = container().env.map(({ name, valueFrom }: Manifest) => [name, fields[valueFrom.fieldRef.fieldPath]]);
  return Object.fromEntries(entries);
}

interface Place {
  readonly volume: Manifest;
  readonly readOnly: boolean;
  /** Below the mount point; '' for itself. */
  readonly within: string;
}

/** Where a path of the container comes from; undefined: the image. */
function place(path: string): Place | undefined {
  const mount = container().volumeMounts.find(
    ({ mountPath }: Manifest) => path === mountPath || path.startsWith(`${mountPath}/`),
  );
  if (mount === undefined) return undefined;
  return {
    volume: podSpec().volumes.find(({ name }: Manifest) => name === mount.name),
    readOnly: mount.readOnly === true,
    within: path.slice(mount.mountPath.length + 1),
  };
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tcpledger-deploy-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What `tcpledger validate` would say, and the sources if that is nothing. */
async function load(text: string, env: Record<string, string>) {
  const file = join(folder, 'agent.yaml');
  writeFileSync(file, text);
  const { config, mistakes = [] } = await loadConfigFile(file, FACTORIES, env);
  const identity = config?.processors[0]?.config as IdentityConfig | undefined;
  return { mistakes, sources: identity ? configuredSources(identity) : [] };
}

const configMap = (file: string, name: string): Manifest =>
  manifests(file).find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === name);

describe('docker/agent.yaml', () => {
  it('has no mistakes, with nothing set', async () => {
    expect((await load(readFileSync('docker/agent.yaml', 'utf8'), {})).mistakes).toEqual([]);
  });
});

const MODES = Object.keys(SOURCE_TYPES).filter((type) => type !== 'host');

describe.each(MODES)('deploy/config-%s.yaml', (mode) => {
  const file = `config-${mode}.yaml`;
  const text = () => configMap(file, 'tcpledger-agent').data['agent.yaml'];

  it('has no mistakes with the variables of the DaemonSet, and the source first', async () => {
    const { mistakes, sources } = await load(text(), environment());
    expect(mistakes).toEqual([]);
    expect(sources.map(({ type }) => type.type)).toEqual([mode, 'host']);
  });

  it('is docker/agent.yaml but for the sources', () => {
    const { processors: _, ...rest } = parse(text());
    const { processors: __, ...expected } = parse(readFileSync('docker/agent.yaml', 'utf8'));
    expect(rest).toEqual(expected);
  });

  it('is where the DaemonSet looks for it', () => {
    const { volume, within } = place(container().args.at(-1))!;
    expect(volume.configMap).toEqual({ name: 'tcpledger-agent' });
    expect(within).toBe('agent.yaml');
    for (const { metadata } of manifests(file)) expect(metadata.namespace).toBe(daemonSet().metadata.namespace);
  });
});

describe.each(['istiod', 'ads'])('the source %s in the DaemonSet', (mode) => {
  async function section(): Promise<XdsConfig> {
    const agent = configMap(`config-${mode}.yaml`, 'tcpledger-agent').data['agent.yaml'];
    const { sources } = await load(agent, environment());
    return sources[0]!.config as XdsConfig;
  }

  it('has a token for istiod, and its root', async () => {
    const { token_file, tls } = await section();
    const token = place(token_file)!;
    const [{ serviceAccountToken }] = token.volume.projected.sources;
    expect(serviceAccountToken).toMatchObject({ audience: 'istio-ca', path: token.within });
    const root = place(tls.ca_file)!;
    expect(root.volume.configMap.name).toBe('istio-ca-root-cert');
    expect(root.within).toBe('root-cert.pem');
  });

  it('says which pod on which node asks', async () => {
    const { cluster_id: clusterId, network } = await section();
    const machine = { env: environment(), hostname: () => 'other', addresses: () => ['198.51.100.1'] };
    const tokenNamespace = daemonSet().metadata.namespace;
    expect(createNode({ kind: 'ztunnel', clusterId, network, tokenNamespace }, machine)).toEqual({
      id: 'ztunnel~192.0.2.1~tcpledger-abcde.tcpledger~tcpledger.svc.cluster.local',
      namespace: 'tcpledger',
      metadata: {
        NAME: 'tcpledger-abcde',
        NAMESPACE: 'tcpledger',
        INSTANCE_IPS: '192.0.2.1,2001:db8::1',
        NODE_NAME: 'node-1',
        CLUSTER_ID: 'Kubernetes',
      },
    });
  });
});

describe('the source kubernetes in the DaemonSet', () => {
  it('has an account that may read what it reads, and nothing else', () => {
    const [role, binding] = manifests('rbac.yaml');
    const granted = role.rules.flatMap(({ apiGroups, resources, verbs }: Manifest) =>
      resources.map((resource: string) => [apiGroups, resource, verbs]),
    );
    const needed = ALL_RESOURCES.map(({ group, name }) => [[group], name, ['get', 'list', 'watch']]);
    expect(granted).toEqual(expect.arrayContaining(needed));
    expect(granted).toHaveLength(needed.length);
    expect(binding.roleRef).toMatchObject({ kind: role.kind, name: role.metadata.name });
    const { serviceAccountName: name, automountServiceAccountToken } = podSpec();
    const { namespace } = daemonSet().metadata;
    expect(binding.subjects).toEqual([{ kind: 'ServiceAccount', name, namespace }]);
    expect(automountServiceAccountToken).toBe(true);
  });
});

describe('the source file in the DaemonSet', () => {
  it('has its file, which has no mistakes', async () => {
    const { processors } = parse(configMap('config-file.yaml', 'tcpledger-agent').data['agent.yaml']);
    const { volume, within } = place(processors.identity.file.path)!;
    const { data } = configMap('config-file.yaml', volume.configMap.name);
    expect(await parseWorkloadFile(data[within], within)).toEqual({ workloads: [], services: [] });
  });
});

describe('the DaemonSet', () => {
  const agent = () => parse(readFileSync('docker/agent.yaml', 'utf8'));

  it('may do what the agent needs and the connect hooks, and no more', () => {
    const { drop, add } = container().securityContext.capabilities;
    expect(drop).toEqual(['ALL']);
    expect(add.map((name: string) => `CAP_${name}`)).toEqual([...NEEDED_CAPABILITIES, 'CAP_NET_ADMIN']);
  });

  it('can write where it keeps what survives it, on the node itself', () => {
    const { receivers, extensions } = agent();
    for (const path of [receivers.ebpf_tcp.pin_path, extensions.file_storage.directory]) {
      expect(place(path)).toMatchObject({ readOnly: false, volume: { hostPath: { path: expect.any(String) } } });
    }
    expect(place(receivers.ebpf_tcp.pin_path)!.volume.hostPath.path).toBe('/sys/fs/bpf');
  });

  it('sees the whole hierarchy of control groups, and the host’s processes and network', () => {
    expect(place('/sys/fs/cgroup')).toMatchObject({ within: '', volume: { hostPath: { path: '/sys/fs/cgroup' } } });
    expect(podSpec()).toMatchObject({ hostNetwork: true, hostPID: true });
  });

  it('is looked at where it answers', () => {
    const port = Number(agent().exporters.prometheus.endpoint.split(':').at(-1));
    expect(container().ports).toEqual([{ name: 'metrics', containerPort: port }]);
    expect(daemonSet().spec.template.metadata.annotations['prometheus.io/port']).toBe(String(port));
    const { startupProbe, readinessProbe, livenessProbe } = container();
    // One that waits for its control plane is alive.
    expect(startupProbe.httpGet.path).toBe('/healthz');
    expect(livenessProbe.httpGet.path).toBe('/healthz');
    expect(readinessProbe.httpGet.path).toBe('/readyz');
  });

  it('runs as an account that is there', () => {
    const account = manifests('daemonset.yaml').find(({ kind }) => kind === 'ServiceAccount');
    expect(account.metadata).toEqual({
      name: podSpec().serviceAccountName,
      namespace: daemonSet().metadata.namespace,
    });
  });
});
