/** What the labels of a connection say: of its services, its workloads, and of what nobody knows. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LogLine } from '../../kernel/support/access-log.ts';
import { eventually } from '../../kernel/support/eventually.ts';
import { account, LABELS, labelSets } from './support/account.ts';
import { type Cast, castOf, TARGET_PORT } from './support/cast.ts';
import { fqdn, node, pod, podName, service } from './support/objects.ts';
import { QUICK, Stage } from './support/stage.ts';
import { describeConformance } from './support/suite.ts';

const cast = {
  vip: castOf(11),
  pod: castOf(12),
  services: castOf(13),
  named: castOf(14),
  unknown: castOf(15),
  spelling: castOf(16),
  plaintext: castOf(17),
  defaults: castOf(18),
  canonical: castOf(19),
  locality: castOf(20),
  families: castOf(35),
};

const TWIN = '10.72.13.2';
const TWIN_VIP = { address: '10.96.13.4', port: 80 };
const [CLIENT_V6, SERVER_V6] = ['fd71::35:1', 'fd72::35:1'];

describeConformance('labels', () => {
  let stage: Stage;

  beforeAll(async () => {
    const { services, named, defaults, canonical, locality, families } = cast;
    stage = await Stage.open(
      [
        ...[cast.vip, cast.pod, cast.unknown, cast.spelling, cast.plaintext].flatMap(({ objects }) => objects),

        pod({ workload: 'client', namespace: services.namespace, ips: [services.client] }),
        pod({ workload: 'server', namespace: services.namespace, ips: [services.server] }),
        // the second of these two has the same port as the first, and a later name
        ...['alpha', 'beta'].map((name, i) =>
          service({
            name,
            app: 'server',
            namespace: services.namespace,
            vip: `10.96.13.${i + 1}`,
            ports: { 80: TARGET_PORT },
          }),
        ),
        service({
          name: 'other',
          app: 'server',
          namespace: services.namespace,
          vip: '10.96.13.3',
          ports: { 80: 9090 },
        }),
        pod({ workload: 'twin', namespace: services.namespace, ips: [TWIN] }),
        service({ name: 'twin', namespace: services.namespace, vip: TWIN_VIP.address, ports: { 80: TARGET_PORT } }),
        service({
          name: 'twin-headless',
          app: 'twin',
          namespace: services.namespace,
          ports: { [TARGET_PORT]: TARGET_PORT },
        }),

        pod({ workload: 'client', namespace: named.namespace, ips: [named.client] }),
        pod({ workload: 'server', namespace: named.namespace, ips: [named.server], ports: { web: 8080 } }),
        pod({
          workload: 'server',
          suffix: 'other',
          namespace: named.namespace,
          ips: ['10.72.14.2'],
          ports: { web: 9091 },
        }),
        service({ name: 'server', namespace: named.namespace, vip: named.vip.address, ports: { 80: 'web' } }),

        pod({ workload: 'client', namespace: defaults.namespace, ips: [defaults.client], serviceAccount: '' }),
        pod({ workload: 'server', namespace: defaults.namespace, ips: [defaults.server], serviceAccount: '' }),

        pod({
          workload: 'client',
          namespace: canonical.namespace,
          ips: [canonical.client],
          labels: {
            'service.istio.io/canonical-name': 'the-client',
            'service.istio.io/canonical-revision': 'blue',
          },
        }),
        pod({
          workload: 'server',
          namespace: canonical.namespace,
          ips: [canonical.server],
          labels: { 'service.istio.io/canonical-name': '', 'service.istio.io/canonical-revision': 'latest' },
        }),

        node('node-eu', 'eu-1', 'eu-1a'),
        node('node-us', 'us-2', 'us-2b'),
        pod({ workload: 'client', namespace: locality.namespace, ips: [locality.client], node: 'node-eu' }),
        pod({ workload: 'server', namespace: locality.namespace, ips: [locality.server], node: 'node-us' }),
        pod({ workload: 'elsewhere', namespace: locality.namespace, ips: ['10.72.20.2'], node: 'node-without-labels' }),

        pod({ workload: 'client', namespace: families.namespace, ips: [families.client, CLIENT_V6!] }),
        pod({ workload: 'server', namespace: families.namespace, ips: [families.server, SERVER_V6!] }),
      ],
      QUICK,
    );
  });

  afterAll(async () => {
    await stage?.close();
  });

  /** The one label set of both reporters, once connections have it. */
  async function labelsOf(labels: Readonly<Record<string, string>>): Promise<Readonly<Record<string, string>>> {
    return eventually(async () => {
      const { source, destination } = labelSets(await stage.agent.scrape(), labels);
      expect(source).toHaveLength(1);
      expect(destination).toEqual(source);
      return source![0]!;
    });
  }

  const ofServer = ({ namespace }: Cast) => ({ destination_workload: 'server', source_workload_namespace: namespace });

  const serviceLabels = (name: string, namespace: string) => ({
    destination_service: fqdn(name, namespace),
    destination_service_name: name,
    destination_service_namespace: namespace,
  });

  async function linesFrom(from: string): Promise<readonly LogLine[]> {
    return eventually(() => {
      const lines = stage.agent.log().filter(({ fields }) => fields['src.addr'] === from);
      expect(lines.map(({ fields }) => fields.direction).sort()).toEqual(['inbound', 'outbound']);
      return lines;
    });
  }

  test('11. a virtual address is dialled: its service, at both ends', async () => {
    const { namespace, client, server, vip } = cast.vip;
    const listener = await stage.listen(server, TARGET_PORT);
    await stage.translate(vip, [listener]);
    const from = await stage.converse(client, listener, vip);
    expect(await labelsOf(ofServer(cast.vip))).toMatchObject(serviceLabels('server', namespace));
    for (const { fields } of await linesFrom(from)) expect(fields['dst.service']).toBe(fqdn('server', namespace));
  });

  test('12. a pod is dialled: the service by its target port, at both ends; none where no port is it', async () => {
    const { namespace, client, server } = cast.pod;
    await stage.converse(client, await stage.listen(server, TARGET_PORT));
    expect(await labelsOf(ofServer(cast.pod))).toMatchObject(serviceLabels('server', namespace));
    await stage.converse(client, await stage.listen(server, 9999));
    await labelsOf({ ...ofServer(cast.pod), destination_service: 'unknown', destination_service_name: 'unknown' });
  });

  test('13. two services before one pod: each by its port; of two with one port the dialled one at the source, the first at the destination', async () => {
    const { namespace, client, server } = cast.services;
    const listener = await stage.listen(server, TARGET_PORT);
    const other = await stage.listen(server, 9090);
    const [alpha, beta, third] = ['10.96.13.1', '10.96.13.2', '10.96.13.3'].map((address) => ({ address, port: 80 }));
    await stage.translate(alpha!, [listener]);
    await stage.translate(beta!, [listener]);
    await stage.translate(third!, [other]);
    const told = async (): Promise<Record<string, string[]>> => {
      const sets = labelSets(await stage.agent.scrape(), ofServer(cast.services));
      const names = (reporter: string) => (sets[reporter] ?? []).map((set) => set.destination_service_name!).sort();
      return { source: names('source'), destination: names('destination') };
    };
    await stage.converse(client, other, third!);
    await eventually(async () => expect(await told()).toEqual({ source: ['other'], destination: ['other'] }));
    await stage.converse(client, listener, beta!);
    await eventually(async () => expect((await told()).source).toEqual(['beta', 'other']));
    await stage.converse(client, listener, alpha!);
    await eventually(async () => {
      expect(await told()).toEqual({ source: ['alpha', 'beta', 'other'], destination: ['alpha', 'other'] });
    });
    expect(await labelsOf({ ...ofServer(cast.services), destination_service_name: 'other' })).toMatchObject(
      serviceLabels('other', namespace),
    );
  });

  test('13. a service and its headless twin before one pod: the one with a virtual address, at both ends, however it is dialled', async () => {
    const { namespace, client } = cast.services;
    const listener = await stage.listen(TWIN, TARGET_PORT);
    await stage.translate(TWIN_VIP, [listener]);
    await stage.converse(client, listener, TWIN_VIP);
    await stage.converse(client, listener);
    const labels = { source_workload_namespace: namespace, destination_workload: 'twin' };
    expect(await labelsOf(labels)).toMatchObject(serviceLabels('twin', namespace));
    await eventually(async () => {
      const page = await stage.agent.scrape();
      for (const reporter of ['source', 'destination']) {
        expect(account(page, { ...labels, reporter })).toEqual([2, 2, 22, 44]);
      }
    });
  });

  test('14. a target port by name is another number in each pod: resolved at each', async () => {
    const { namespace, client, server, vip } = cast.named;
    const [first, second] = [await stage.listen(server, 8080), await stage.listen('10.72.14.2', 9091)];
    await stage.translate(vip, [first]);
    await stage.converse(client, first, vip);
    await stage.converse(client, second);
    expect(await labelsOf(ofServer(cast.named))).toMatchObject(serviceLabels('server', namespace));
    await eventually(async () => {
      const page = await stage.agent.scrape();
      for (const reporter of ['source', 'destination']) {
        expect(page.sum('istio_tcp_connections_opened_total', { ...ofServer(cast.named), reporter })).toBe(2);
      }
    });
  });

  test('15. an address that nobody has: every label of the destination is there, and unknown', async () => {
    const { namespace, client } = cast.unknown;
    await stage.converse(client, await stage.listen('10.72.15.99'));
    const labels = await labelsOf({ source_workload_namespace: namespace });
    expect(['reporter', ...Object.keys(labels)]).toEqual(LABELS);
    for (const [label, value] of Object.entries(labels)) {
      if (label.startsWith('destination_')) expect([label, value]).toEqual([label, 'unknown']);
    }
    expect(labels).toMatchObject({
      source_workload: 'client',
      request_protocol: 'tcp',
      response_flags: '-',
      connection_security_policy: 'unknown',
    });
  });

  test('16. what is missing is spelled unknown: nothing is empty, and - is a flag only', async () => {
    const { client, server } = cast.spelling;
    await stage.converse(client, await stage.listen(server));
    await stage.converse('10.71.16.99', await stage.listen('10.72.16.99'));
    await labelsOf(ofServer(cast.spelling));
    await labelsOf({ source_workload: 'unknown', destination_workload: 'unknown' });
    const wrong = (await stage.agent.scrape()).samples.filter(({ labels }) =>
      Object.entries(labels).some(([label, value]) => value === '' || (value === '-' && label !== 'response_flags')),
    );
    expect(wrong).toEqual([]);
  });

  test('17. plaintext proves nobody: the source’s principal is unknown, the log has no identity', async () => {
    const { namespace, client, server } = cast.plaintext;
    const from = await stage.converse(client, await stage.listen(server));
    expect(await labelsOf(ofServer(cast.plaintext))).toMatchObject({
      connection_security_policy: 'unknown',
      source_principal: 'unknown',
      destination_principal: `spiffe://cluster.local/ns/${namespace}/sa/server`,
    });
    for (const { fields } of await linesFrom(from)) {
      expect(Object.keys(fields)).not.toContain('src.identity');
      expect(Object.keys(fields)).not.toContain('dst.identity');
      expect(Object.keys(fields)).not.toContain('dst.hbone_addr');
    }
  });

  test('18. trust domain, service account and cluster that istiod leaves out have their defaults', async () => {
    const { namespace, client, server } = cast.defaults;
    await stage.converse(client, await stage.listen(server));
    expect(await labelsOf(ofServer(cast.defaults))).toMatchObject({
      source_cluster: 'Kubernetes',
      destination_cluster: 'Kubernetes',
      destination_principal: `spiffe://cluster.local/ns/${namespace}/sa/default`,
    });
  });

  test('19. canonical name and revision are app and version; latest passes, an empty name is unknown', async () => {
    const { client, server } = cast.canonical;
    await stage.converse(client, await stage.listen(server));
    expect(await labelsOf(ofServer(cast.canonical))).toMatchObject({
      source_canonical_service: 'the-client',
      source_app: 'the-client',
      source_canonical_revision: 'blue',
      source_version: 'blue',
      destination_canonical_service: 'unknown',
      destination_app: 'unknown',
      destination_canonical_revision: 'latest',
      destination_version: 'latest',
    });
  });

  test('20. regions and zones are there whenever one end is known', async () => {
    const { client, server, namespace } = cast.locality;
    await stage.converse(client, await stage.listen(server));
    const source = { source_region: 'eu-1', source_zone: 'eu-1a' };
    expect(await labelsOf(ofServer(cast.locality))).toMatchObject({
      ...source,
      destination_region: 'us-2',
      destination_zone: 'us-2b',
    });
    await stage.converse(client, await stage.listen('10.72.20.2'));
    expect(await labelsOf({ source_workload_namespace: namespace, destination_workload: 'elsewhere' })).toMatchObject({
      ...source,
      destination_region: 'unknown',
      destination_zone: 'unknown',
    });
  });

  test('35. IPv6 in brackets; IPv4 in IPv6 is IPv4, where it is written and where it is looked up', async () => {
    const { client, server } = cast.families;
    const six = await stage.converse(CLIENT_V6!, await stage.listen(SERVER_V6!, TARGET_PORT));
    expect(six).toMatch(/^\[fd71::35:1\]:\d+$/);
    for (const { fields } of await linesFrom(six)) {
      expect(fields).toMatchObject({
        'src.workload': podName('client'),
        'dst.addr': `[${SERVER_V6}]:${TARGET_PORT}`,
        'dst.workload': podName('server'),
      });
    }
    const listener = await stage.listen(server, 9090);
    await stage.converse(`::ffff:${client}`, listener, { address: `::ffff:${server}`, port: listener.port });
    const mapped = await eventually(() => {
      const lines = stage.agent.log().filter(({ fields }) => fields['dst.addr'] === `${server}:9090`);
      expect(lines.map(({ fields }) => fields.direction).sort()).toEqual(['inbound', 'outbound']);
      return lines;
    });
    for (const { fields } of mapped) {
      expect(fields).toMatchObject({ 'src.workload': podName('client'), 'dst.workload': podName('server') });
      expect(fields['src.addr']).toMatch(new RegExp(`^${client}:\\d+$`));
    }
    // one edge, whatever the sockets spoke
    await labelsOf(ofServer(cast.families));
    await eventually(async () => {
      const page = await stage.agent.scrape();
      expect(page.sum('istio_tcp_connections_opened_total', { ...ofServer(cast.families), reporter: 'source' })).toBe(
        2,
      );
    });
  });
});
