/**
 * deploy/ as a cluster runs it: what the manifests say goes to a real API server, and what that says of the pod is done as
 * a kubelet and containerd would do it, with the file system that docker/Dockerfile makes and no privilege more.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { type Certificates, createCertificates } from '../exporters/otlp/support/certificates.ts';
import { parseLog, parseTextLine } from '../kernel/support/access-log.ts';
import { ownBpffs } from '../kernel/support/bpffs.ts';
import { cgroupRoot } from '../kernel/support/cgroup.ts';
import { undoLater } from '../kernel/support/cleanup.ts';
import { run } from '../kernel/support/command.ts';
import { eventually } from '../kernel/support/eventually.ts';
import { type KernelObjects, kernelObjects, nothingIsLeft } from '../kernel/support/leftovers.ts';
import { type Route, routedNamespaces } from '../kernel/support/namespace.ts';
import { translate } from '../kernel/support/nat.ts';
import { Page } from '../kernel/support/prometheus-text.ts';
import { describeOnKernel } from '../kernel/support/suite.ts';
import { type ApiServer, apiServerMissing, startApiServer } from '../peers/apiserver.ts';
import { type Collector, collectorMissing, startCollector } from '../peers/collector.ts';
import { istiodMissing, startIstiod } from '../peers/istiod.ts';
import * as mesh from './conformance/support/objects.ts';
import { apply, daemonPod, namespaceWithAccounts } from './support/kubelet/cluster.ts';
import { forward } from './support/kubelet/forward.ts';
import { buildImage, type Image } from './support/kubelet/image.ts';
import { type Kubelet, kubelet, type RunningPod, runtimeMissing } from './support/kubelet/kubelet.ts';
import { type Manifest, manifests } from './support/kubelet/manifest.ts';
import type { RuntimeOptions } from './support/kubelet/runtime-spec.ts';
import { makeNode, makeService, makeSlice, podName, runPod } from './support/kubernetes-objects.ts';
import { recordsOfRequests } from './support/otlp-json.ts';
import { CLIENT_IP, openShop, SERVER_IP, type Shop, WEB, WEB_SERVICE } from './support/shop.ts';

const NODE = { name: 'node-a', ip: '10.70.1.1' };
const API_SERVER = { host: '10.96.0.1', port: 443 };
const COLLECTOR_PORT = 4317;
const ISTIOD_PORT = 15012;

/** As the DaemonSet mounts it. */
const CONFIG = '/etc/tcpledger/config/agent.yaml';

const missing = apiServerMissing() ?? runtimeMissing();

describeOnKernel('the DaemonSet', () => {
  if (missing !== undefined) {
    test.skip(missing, () => undefined);
    return;
  }
  let before: KernelObjects;
  let route: Route;
  let api: ApiServer;
  let image: Image;
  let bpffs: { directory: string; remove: () => void };
  let removeStorage: () => void;
  let node: Kubelet;
  let shop: Shop;
  let certificates: Certificates;
  let agent: RunningPod | undefined;
  let collector: Collector | undefined;
  const forwards: (() => void)[] = [];

  beforeAll(async () => {
    before = await kernelObjects();
    route = await routedNamespaces();
    api = await startApiServer({ serviceAccounts: true });
    image = buildImage();
    certificates = createCertificates();
    // the services' addresses: any route will do, where it goes is decided after the translation
    await route.router.exec('ip', 'route', 'add', '10.96.0.0/16', 'via', '10.70.1.71');
    forwards.push(await forward(route.router, NODE.ip, 6443, api.port));
    await translate(route.router, 'output', API_SERVER, [{ host: NODE.ip, port: 6443 }]);

    await makeNode(api, NODE.name, 'eu-1', 'eu-1b');
    await namespaceWithAccounts(api, 'shop');
    const pod = { suffix: 'a', namespace: 'shop', node: NODE.name };
    const clientUid = await runPod(api, { ...pod, deployment: 'sleep', ip: CLIENT_IP });
    const serverUid = await runPod(api, { ...pod, deployment: 'web', ip: SERVER_IP });
    await makeService(api, WEB);
    await makeSlice(api, WEB, WEB.target, [{ uid: serverUid, ip: SERVER_IP, name: podName('web', 'a') }]);
    shop = await openShop(route, clientUid, serverUid);

    bpffs = ownBpffs();
    const directory = mkdtempSync(join(tmpdir(), 'tcpledger-storage-'));
    removeStorage = undoLater(() => rmSync(directory, { recursive: true }));
    node = kubelet({
      ...{ api, image, namespace: route.router, ip: NODE.ip },
      paths: { '/sys/fs/bpf': bpffs.directory, '/var/lib/tcpledger': join(directory, 'tcpledger') },
      hosts: [`${NODE.ip}\tistiod.istio-system.svc`],
    });
  });

  afterAll(async () => {
    await agent?.terminate();
    await collector?.stop();
    await shop?.remove();
    for (const end of forwards.splice(0)) end();
    for (const made of [node, bpffs, route, image, certificates]) made?.remove();
    removeStorage?.();
    await api?.stop();
  });

  async function start(runtime: RuntimeOptions): Promise<RunningPod> {
    const pod = await daemonPod(api, 'tcpledger', 'tcpledger', NODE.name);
    const started = await node.start(pod, runtime);
    agent = started;
    await eventually(async () => expect((await started.probe('startupProbe')).status).toBe(200));
    await eventually(async () => expect(await started.probe('readinessProbe')).toMatchObject({ status: 200 }));
    expect((await started.probe('livenessProbe')).status).toBe(200);
    return started;
  }

  async function stop(): Promise<number | null> {
    const code = await agent!.terminate();
    agent = undefined;
    return code;
  }

  const scrape = async (): Promise<Page> => new Page((await agent!.get('/metrics')).body);

  const allIsCounted = (client = 'sleep', server = 'web'): Promise<void> =>
    eventually(async () => shop.expectOn(await scrape(), { client, server }));

  async function noObjection(command: 'doctor' | 'validate', config: string): Promise<void> {
    const ended = await agent!.exec('tcpledger', command, '--config', config);
    expect(ended.code, ended.stdout + ended.stderr).toBe(0);
  }

  /** Applied one after the other, and seen so by the kubelet; then taken over by the agent. */
  async function reconfigure(...objects: readonly Manifest[]): Promise<void> {
    const reloads = () => agent!.stderr().split('is reloaded').length;
    const soFar = reloads();
    for (const object of objects) {
      await apply(api, object);
      await agent!.sync();
    }
    await eventually(() => expect(reloads()).toBe(soFar + 1));
  }

  test('the API server takes what is to be applied without a word', async () => {
    await apply(api, ...['daemonset.yaml', 'rbac.yaml', 'config-kubernetes.yaml'].flatMap(manifests));
  });

  test('it starts and is ready, with these privileges and no others', async () => {
    const { pid } = await start({ seccompDefault: true, cgroupNamespace: false });
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1];
    // linux/capability.h: NET_ADMIN 12, PERFMON 38, BPF 39
    const granted = ((1n << 12n) | (1n << 38n) | (1n << 39n)).toString(16).padStart(16, '0');
    const none = '0'.repeat(16);
    expect(['CapEff', 'CapPrm', 'CapBnd', 'CapInh', 'CapAmb'].map(field)).toEqual([
      granted,
      granted,
      granted,
      none,
      none,
    ]);
    expect(['NoNewPrivs', 'Seccomp'].map(field)).toEqual(['1', '2']);
  });

  test('its programs on connect are at the root of the hierarchy', async () => {
    const shown = await run('bpftool', ['-j', 'cgroup', 'show', cgroupRoot()]);
    const programs = JSON.parse(shown || '[]') as { name: string; attach_type: string }[];
    const own = programs.filter(({ name }) => name.startsWith('tcpledger')).map((program) => program.attach_type);
    expect(own.sort()).toEqual(['cgroup_inet4_connect', 'cgroup_inet6_connect']);
  });

  test('connections between pods have their names, at both ends', async () => {
    await shop.converse('service', 5);
    await shop.converse('pod', 3);
    await shop.beRefused();
    await allIsCounted();
    const labels = {
      ...{ source_workload_namespace: 'shop', source_canonical_service: 'sleep', source_region: 'eu-1' },
      ...{ destination_service: WEB_SERVICE, destination_canonical_service: 'web', destination_zone: 'eu-1b' },
      ...{ destination_principal: 'spiffe://cluster.local/ns/shop/sa/default', response_flags: '-' },
    };
    const page = await scrape();
    for (const reporter of ['source', 'destination']) {
      expect(page.sum('istio_tcp_connections_closed_total', { ...labels, reporter })).toBe(8);
    }
  });

  test('asked in its container, doctor has no objection, nor validate to the image’s own configuration', async () => {
    await noObjection('doctor', CONFIG);
    await noObjection('validate', '/etc/tcpledger/agent.yaml');
  });

  test('another configuration in the ConfigMap takes effect without a restart', async () => {
    expect(agent!.stdout()).toBe('');
    const [configMap] = manifests('config-kubernetes.yaml');
    const config = parse(configMap.data['agent.yaml']);
    config.exporters.access_log = null;
    config.service.pipelines.logs.exporters.push('access_log');
    await reconfigure({ ...configMap, data: { 'agent.yaml': stringify(config) } });

    await shop.converse('service', 2);
    await shop.beRefused();
    await allIsCounted();
    await eventually(() => {
      const lines = shop.linesOf(parseLog(agent!.stdout(), parseTextLine));
      const ends = lines.map(({ level, fields }) =>
        [level, fields.direction, fields.bytes_sent, fields.bytes_recv, fields['dst.service']].join(' '),
      );
      expect(ends.sort()).toEqual([
        'error outbound 0 0 ',
        ...Array<string>(2).fill(`info inbound 22 11 ${WEB_SERVICE}`),
        ...Array<string>(2).fill(`info outbound 11 22 ${WEB_SERVICE}`),
      ]);
      const names = {
        'src.workload': podName('sleep', 'a'),
        'src.namespace': 'shop',
        'dst.workload': podName('web', 'a'),
      };
      for (const { fields } of lines) expect(fields).toMatchObject(names);
    });
  });

  test('a rolling update: SIGTERM ends it well, the next one goes on, and nothing in between is lost', async () => {
    expect(await stop()).toBe(0);
    await shop.converse('service', 4);
    await shop.converse('pod', 2);
    await shop.beRefused();
    if (collectorMissing() === undefined) {
      collector = await startCollector();
      forwards.push(await forward(route.router, NODE.ip, COLLECTOR_PORT, collector.ports.grpc));
    }
    await start({ seccompDefault: false, cgroupNamespace: true });
    await shop.converse('pod');
    await allIsCounted();
  });

  test.skipIf(collectorMissing())(
    'and the Collector, there at last, gets every record since the start once',
    async () => {
      await eventually(() => {
        const records = recordsOfRequests(collector!.received('logs')).map(({ attributes }) => attributes);
        const ours = records.filter((attributes) => attributes['source.address'] === CLIENT_IP);
        const { made } = shop;
        expect(ours).toHaveLength(2 * (made.service + made.pod) + made.refused);
        expect(new Set(ours.map((attributes) => attributes['tcpledger.connection.id'])).size).toBe(ours.length);
      });
    },
  );

  test('its own connection to the API server is one of its pod to a service', async () => {
    const labels = { source_workload: 'tcpledger', source_workload_namespace: 'tcpledger', reporter: 'source' };
    const dialled = { ...labels, destination_service: 'kubernetes.default.svc.cluster.local' };
    await eventually(async () => {
      expect((await scrape()).sum('istio_tcp_connections_opened_total', dialled)).toBeGreaterThan(0);
    });
  });

  test('names from a file instead, without a restart', async () => {
    const workload = (name: string, ip: string) => ({
      ...{ uid: `Kubernetes//Pod/shop/${name}`, name, namespace: 'shop', workloadName: name, workloadIps: [ip] },
    });
    const told = { workloads: [workload('sleep-told', CLIENT_IP), workload('web-told', SERVER_IP)], services: [] };
    const objects = manifests('config-file.yaml');
    objects.find(({ metadata }) => metadata.name === 'tcpledger-workloads').data['workloads.yaml'] = stringify(told);
    await reconfigure(...objects);
    await shop.move();
    await shop.converse('pod', 2);
    await shop.beRefused();
    await allIsCounted('sleep-told', 'web-told');
  });

  test.skipIf(istiodMissing())(
    'and from istiod, in either of its ways, by TLS with the root that it writes',
    async () => {
      const istiod = await startIstiod({ objects: '' });
      try {
        const pod = (workload: string, ip: string) => mesh.pod({ workload, namespace: 'shop', ips: [ip] });
        await istiod.apply(mesh.yaml([pod('sleep-meshed', CLIENT_IP), pod('web-meshed', SERVER_IP)]));
        const [cert, key] = [readFileSync(certificates.serverCert), readFileSync(certificates.serverKey)];
        forwards.push(await forward(route.router, NODE.ip, ISTIOD_PORT, istiod.port, { cert, key }));
        const root = { metadata: { name: 'istio-ca-root-cert', namespace: 'tcpledger' }, kind: 'ConfigMap' };
        await apply(api, { ...root, data: { 'root-cert.pem': readFileSync(certificates.ca, 'utf8') } });
        await reconfigure(...manifests('config-istiod.yaml'));
        await shop.move();
        await shop.converse('pod', 2);
        await shop.beRefused();
        await allIsCounted('sleep-meshed', 'web-meshed');
        await noObjection('doctor', CONFIG);

        // no service there has pods behind it: all that it can tell is that it has been told
        await reconfigure(...manifests('config-ads.yaml'));
        await eventually(async () => {
          expect((await agent!.probe('readinessProbe')).status).toBe(200);
          expect((await scrape()).sum('tcpledger_identity_connected', { source: 'ads' })).toBe(1);
        });
      } finally {
        await istiod.stop();
      }
    },
  );

  test('nothing is left of it', async () => {
    expect(await stop()).toBe(0);
    await shop.remove();
    for (const end of forwards.splice(0)) end();
    for (const made of [node, bpffs, route, image]) made.remove();
    removeStorage();
    await nothingIsLeft(before);
    expect(readdirSync(cgroupRoot()).filter((name) => name.startsWith(`tcpl-${process.pid}-`))).toEqual([]);
    expect(existsSync(image.rootfs)).toBe(false);
  });
});
