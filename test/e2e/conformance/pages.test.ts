/** What others read: the page, its queries and pictures on a real Prometheus, and the log in its three forms. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseLog, parseTextLine } from '../../kernel/support/access-log.ts';
import { undoLater } from '../../kernel/support/cleanup.ts';
import { eventually } from '../../kernel/support/eventually.ts';
import { type OtlpCollector, otlpCollector } from '../../kernel/support/otlp-logs.ts';
import { filledIn, PANELS } from '../support/dashboards.ts';
import { GROUP_BY, graphEdges, graphQuery } from '../support/kiali.ts';
import { type Prometheus, prometheusMissing, startPrometheus } from '../support/prometheus.ts';
import { account, FAMILIES } from './support/account.ts';
import { castOf, SERVICE_PORT, TARGET_PORT } from './support/cast.ts';
import { fqdn, pod, podName, service } from './support/objects.ts';
import { exchange, hangUp, QUICK, Stage } from './support/stage.ts';
import { describeConformance } from './support/suite.ts';

const cast = {
  http: castOf(30),
  help: castOf(31),
  query: castOf(32),
  kiali: castOf(33),
  grafana: castOf(34),
  log: castOf(36),
};
const TUNNEL = { client: '10.71.36.2', server: '10.72.36.2', port: 15008 } as const;

const noPrometheus = prometheusMissing();

describeConformance('pages', () => {
  let stage: Stage;
  let collector: OtlpCollector;
  let prometheus: Prometheus;
  let textLog: string;
  let removeDirectory: () => void;

  beforeAll(async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tcpledger-pages-'));
    removeDirectory = undoLater(() => rmSync(directory, { recursive: true }));
    textLog = join(directory, 'text.log');
    collector = await otlpCollector();
    const { namespace, client, server, vip } = cast.query;
    const { http, help, kiali, grafana, log } = cast;
    stage = await Stage.open(
      [
        ...[http, help, kiali, grafana, log].flatMap(({ objects }) => objects),
        pod({ workload: 'client-v1', namespace, ips: [client], labels: { app: 'client' } }),
        pod({ workload: 'server-v1', namespace, ips: [server], labels: { app: 'server' } }),
        service({ name: 'server', namespace, vip: vip.address, ports: { [SERVICE_PORT]: TARGET_PORT } }),
        pod({ workload: 'tunnel-client', namespace: log.namespace, ips: [TUNNEL.client], captured: true }),
        pod({ workload: 'tunnel-server', namespace: log.namespace, ips: [TUNNEL.server], captured: true }),
      ],
      {
        ...QUICK,
        logsTo: collector.endpoint,
        exporters: {
          'access_log/text': { signals: ['logs'], config: { format: 'text', output: textLog } },
        },
      },
    );
    // as the dashboards of ztunnel select its pods
    if (noPrometheus === undefined) {
      prometheus = await startPrometheus(new URL(stage.agent.url).host, { pod: 'ztunnel-test', app: 'ztunnel' });
    }
  });

  afterAll(async () => {
    await prometheus?.stop();
    await stage?.close();
    await collector?.close();
    removeDirectory?.();
  });

  /** One connection by the service; the page has it. */
  async function served({ namespace, client, server, vip }: typeof cast.http): Promise<string> {
    const listener = await stage.listen(server, TARGET_PORT);
    await stage.translate(vip, [listener]);
    const from = await stage.converse(client, listener, vip);
    for (const reporter of ['source', 'destination']) {
      await eventually(async () => {
        const labels = { reporter, source_workload_namespace: namespace, destination_service_name: 'server' };
        expect(account(await stage.agent.scrape(), labels)).toEqual([1, 1, 11, 22]);
      });
    }
    return from;
  }

  const get = (path: string, headers: Record<string, string> = {}) => fetch(stage.agent.url + path, { headers });

  test('30. two paths with one page, in two formats, compressed if asked for; no other path', async () => {
    await served(cast.http);
    const linesOf = (body: string) => body.split('\n').filter((line) => line.includes('="case-30"'));
    const answers = await Promise.all(['/metrics', '/stats/prometheus'].map((path) => get(path)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(answers[0]!.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    const [page, same] = await Promise.all(answers.map((answer) => answer.text()));
    // some of what the agent says of itself is never twice the same
    expect(linesOf(page!).length).toBeGreaterThan(0);
    expect(linesOf(same!)).toEqual(linesOf(page!));
    const families = (body: string) => body.split('\n').filter((line) => line.startsWith('#'));
    expect(families(same!)).toEqual(families(page!));

    for (const path of ['/', '/metric', '/metrics/', '/stats', '/debug']) {
      expect([path, (await get(path)).status]).toEqual([path, 404]);
    }

    const openMetrics = await get('/metrics', { accept: 'application/openmetrics-text; version=1.0.0' });
    expect(openMetrics.headers.get('content-type')).toMatch(/^application\/openmetrics-text; version=1\.0\.0/);
    const body = await openMetrics.text();
    expect(body.endsWith('\n# EOF\n')).toBe(true);
    for (const family of FAMILIES) {
      expect(body).toContain(`# TYPE ${family.replace(/_total$/, '')} counter\n`);
      expect(body).not.toContain(`# TYPE ${family} `);
    }
    expect(page).toContain(`# TYPE ${FAMILIES[0]} counter\n`);

    const compressed = await get('/metrics', { 'accept-encoding': 'gzip' });
    expect(compressed.headers.get('content-encoding')).toBe('gzip');
    expect(linesOf(await compressed.text())).toEqual(linesOf(page!));
    expect((await get('/metrics', { 'accept-encoding': 'identity' })).headers.get('content-encoding')).toBeNull();
  });

  test('31. Istio’s four have their names and their help; what is ours calls itself unstable', async () => {
    await served(cast.help);
    const page = await (await get('/metrics')).text();
    const help = new Map([...page.matchAll(/^# HELP (\S+) (.*)$/gm)].map(([, name, text]) => [name!, text!]));
    const types = new Map([...page.matchAll(/^# TYPE (\S+) (.*)$/gm)].map(([, name, type]) => [name!, type!]));
    expect(FAMILIES.map((family) => [types.get(family), help.get(family)])).toEqual([
      ['counter', 'The total number of TCP connections opened'],
      ['counter', 'The total number of TCP connections closed'],
      ['counter', 'The size of total bytes received during request in case of a TCP connection'],
      ['counter', 'The size of total bytes sent during response in case of a TCP connection'],
    ]);
    // Istio's build gauge and what every program has are nobody's invention of today
    const settled = (name: string) =>
      FAMILIES.some((family) => family === name) || /^(istio_build$|process_|nodejs_)/.test(name);
    const others = [...help].filter(([name]) => !settled(name));
    expect(others.length).toBeGreaterThan(20);
    expect(others.filter(([, text]) => !text.endsWith('(unstable)'))).toEqual([]);
  });

  test('31. promtool has nothing against the page', (context) => {
    context.skip(noPrometheus !== undefined, noPrometheus);
    const { stdout: page } = spawnSync('curl', ['-s', `${stage.agent.url}/metrics`], { encoding: 'utf8' });
    expect(page).toContain(FAMILIES[0]);
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: page, encoding: 'utf8' });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('32. the query of Istio’s own end-to-end test', async (context) => {
    context.skip(noPrometheus !== undefined, noPrometheus);
    const { namespace } = cast.query;
    await served(cast.query);
    const labels = {
      reporter: 'destination',
      source_workload: 'client-v1',
      source_workload_namespace: namespace,
      source_app: 'client',
      source_version: 'v1',
      source_canonical_service: 'client',
      source_canonical_revision: 'v1',
      source_principal: 'unknown',
      destination_workload: 'server-v1',
      destination_workload_namespace: namespace,
      destination_app: 'server',
      destination_version: 'v1',
      destination_canonical_service: 'server',
      destination_canonical_revision: 'v1',
      destination_service: fqdn('server', namespace),
      destination_service_name: 'server',
      destination_service_namespace: namespace,
      request_protocol: 'tcp',
      response_flags: '-',
    };
    const selector = Object.entries(labels)
      .map(([label, value]) => `${label}="${value}"`)
      .join(',');
    await eventually(async () => {
      for (const family of FAMILIES) {
        expect([family, await prometheus.value(`sum(${family}{${selector}})`)]).toEqual([family, expect.any(Number)]);
        expect(await prometheus.value(`sum(${family}{${selector}})`)).toBeGreaterThan(0);
      }
    });
  });

  test('33. Kiali’s three queries: every element has what it groups by, both ends are one edge', async (context) => {
    context.skip(noPrometheus !== undefined, noPrometheus);
    const { namespace, client, server, vip } = cast.kiali;
    const listener = await stage.listen(server, TARGET_PORT);
    await stage.translate(vip, [listener]);
    const connection = await stage.connect(client, listener, vip);
    let going = true;
    const traffic = (async () => {
      for (; going; await delay(100)) await exchange(connection);
    })();
    try {
      for (const metric of ['istio_tcp_sent_bytes_total', 'istio_tcp_received_bytes_total']) {
        await eventually(async () => {
          for (const question of ['incoming', 'outgoing'] as const) {
            const elements = await prometheus.query(graphQuery(question, metric, namespace));
            expect(elements).toHaveLength(1);
            // `app` is a label of ztunnel's pods, given by the scrape
            expect(GROUP_BY.filter((label) => elements[0]!.labels[label] === undefined)).toEqual([]);
          }
        });
        // known at both ends: nothing goes from elsewhere into a service whose workload nobody knows
        expect(await prometheus.query(graphQuery('toUnknown', metric, namespace))).toEqual([]);
        expect(await graphEdges(prometheus, metric, [namespace])).toEqual(['client → server → server']);
      }
    } finally {
      going = false;
      await traffic;
      await hangUp(connection);
    }
  });

  test('34. every TCP panel of Istio’s dashboards shows something; of 11 and 22 bytes those of a client show 11 sent and 22 received', async (context) => {
    context.skip(noPrometheus !== undefined, noPrometheus);
    const { namespace } = cast.grafana;
    await served(cast.grafana);
    const expressions = (choose: (title: string) => boolean = () => true): string[] =>
      PANELS.filter(({ title }) => choose(title)).flatMap((panel) =>
        ['source', 'destination'].map((qrep) =>
          filledIn(panel, {
            __rate_interval: '1m',
            qrep,
            service: fqdn('server', namespace),
            dstsvc: fqdn('server', namespace),
            namespace,
            workload: /client|outgoing|dstsvc/i.test(panel.title) ? 'client' : 'server',
            srcwl: 'client',
            srcns: namespace,
            dstwl: 'server',
            dstns: namespace,
            dstcluster: 'Kubernetes',
          }),
        ),
      );
    for (const expression of expressions()) {
      await eventually(async () =>
        expect([expression, await prometheus.query(expression)]).not.toEqual([expression, []]),
      );
    }
    /** What a panel would show of a rate, in bytes so far. */
    const bytes = async (title: string): Promise<number[]> => {
      const totals = expressions((each) => each === title).map((each) => each.replace(/irate\((.*?)\[1m\]\)/, '$1'));
      return Promise.all(totals.map((each) => prometheus.value(each)));
    };
    await eventually(async () => expect(await bytes('Bytes Sent on Outgoing TCP Connection')).toEqual([11, 11]));
    expect(await bytes('Bytes Received from Outgoing TCP Connection')).toEqual([22, 22]);
  });

  /** The fields of the records from that client, of each form: in the JSON file, in the text file, at the collector. */
  async function fieldsFrom(from: string, count = 2) {
    return eventually(() => {
      const ofText = parseLog(readFileSync(textLog, 'utf8'), parseTextLine);
      const lines = [stage.agent.log(), ofText].map((all) =>
        all
          .filter(({ fields }) => fields['src.addr'] === from)
          .sort((a, b) => String(a.fields.direction).localeCompare(String(b.fields.direction))),
      );
      const records = collector.records
        .filter(({ attributes }) => attributes['src.addr'] === from)
        .sort((a, b) => String(a.attributes.direction).localeCompare(String(b.attributes.direction)));
      expect([...lines, records].map(({ length }) => length)).toEqual([count, count, count]);
      return lines[0]!.map((line, i) => {
        const { 'tcpledger.connection.id': id, ...json } = line.fields;
        return { id, json, text: lines[1]![i]!.fields, otlp: records[i]!.attributes };
      });
    });
  }

  const FIELDS = [
    'src.addr',
    'src.workload',
    'src.namespace',
    'src.cluster',
    'dst.addr',
    'dst.service',
    'dst.workload',
    'dst.namespace',
    'dst.cluster',
    'direction',
    'bytes_sent',
    'bytes_recv',
    'duration',
  ];

  test('36. text, JSON and OTLP have the same fields with the same values; integers are integers', async () => {
    const { namespace } = cast.log;
    const records = await fieldsFrom(await served(cast.log));
    for (const { id, json, text, otlp } of records) {
      expect(Object.keys(json)).toEqual(FIELDS);
      expect(Object.entries(text)).toEqual(Object.entries(json));
      expect(otlp).toMatchObject({ ...json, 'tcpledger.connection.id': id });
      expect(json.duration).toMatch(/^\d+ms$/);
      expect(json).toMatchObject({
        'src.workload': podName('client'),
        'dst.workload': podName('server'),
        'dst.service': fqdn('server', namespace),
        'dst.namespace': namespace,
      });
    }
    expect(records.map(({ json }) => [json.direction, json.bytes_sent, json.bytes_recv])).toEqual([
      ['inbound', 22, 11],
      ['outbound', 11, 22],
    ]);
  });

  test('36. with identities where a tunnel proves them', async () => {
    const { namespace } = cast.log;
    const from = await stage.converse(TUNNEL.client, await stage.listen(TUNNEL.server, TUNNEL.port));
    const identity = (account: string) => `spiffe://cluster.local/ns/${namespace}/sa/${account}`;
    for (const { json, text, otlp } of await fieldsFrom(from)) {
      expect(json).toMatchObject({
        'src.identity': identity('tunnel-client'),
        'dst.identity': identity('tunnel-server'),
        'dst.addr': `${TUNNEL.server}:${TUNNEL.port}`,
      });
      expect(Object.entries(text)).toEqual(Object.entries(json));
      expect(otlp).toMatchObject(json);
    }
  });

  test('36. what is not known is left out, not empty; an error comes last', async () => {
    const refused = await stage.caller('10.71.36.99');
    await expect(refused.connect('10.72.36.99', 9)).rejects.toThrow('ECONNREFUSED');
    await refused.close();
    const from = await eventually(() => {
      const line = stage.agent.log().find(({ fields }) => fields['dst.addr'] === '10.72.36.99:9');
      expect(line).toBeDefined();
      return String(line!.fields['src.addr']);
    });
    const [{ json, text, otlp }] = (await fieldsFrom(from, 1)) as [Awaited<ReturnType<typeof fieldsFrom>>[0]];
    expect(Object.keys(json)).toEqual([
      'src.addr',
      'dst.addr',
      'direction',
      'bytes_sent',
      'bytes_recv',
      'duration',
      'error',
    ]);
    expect(Object.entries(text)).toEqual(Object.entries(json));
    expect(otlp).toMatchObject(json);
    expect(
      Object.keys(otlp)
        .filter((key) => /^(src|dst)\./.test(key))
        .sort(),
    ).toEqual(['dst.addr', 'src.addr']);
  });
});
