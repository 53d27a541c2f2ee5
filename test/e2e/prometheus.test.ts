/** A real Prometheus scrapes the running agent: PromQL gives the numbers that the peers know. */
import { spawnSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from '../kernel/support/agent.ts';
import { eventually } from '../kernel/support/eventually.ts';
import { describeOnKernel } from '../kernel/support/suite.ts';
import { close, createMesh, EDGES, type Edge, exchange, type Mesh } from './support/mesh.ts';
import { type Prometheus, prometheusMissing, startPrometheus } from './support/prometheus.ts';

const FAMILIES = [
  'istio_tcp_connections_opened_total',
  'istio_tcp_connections_closed_total',
  'istio_tcp_received_bytes_total',
  'istio_tcp_sent_bytes_total',
] as const;

const TO_REVIEWS = EDGES[0]!;

const selected = (edge: Edge, reporter: string): string =>
  `reporter="${reporter}",source_workload="${edge.client}",destination_workload="${edge.workload}",response_flags="-"`;

const missing = prometheusMissing();

describeOnKernel('Prometheus', () => {
  if (missing !== undefined) {
    test.skip(missing, () => undefined);
    return;
  }
  let mesh: Mesh;
  let agent: Agent;
  let prometheus: Prometheus;
  /** Connections that have been opened and closed, 11 bytes there and 22 back on each. */
  const done = new Map<Edge, number>(EDGES.map((edge) => [edge, 0]));

  beforeAll(async () => {
    mesh = await createMesh();
    agent = await startAgent({
      workloads: mesh.workloads,
      services: mesh.services,
      identity: { resolve_timeout: '500ms' },
    });
    prometheus = await startPrometheus(new URL(agent.url).host);
    for (const [i, edge] of EDGES.entries()) await connections(edge, 10 + i);
  });

  afterAll(async () => {
    await prometheus?.stop();
    await agent?.kill();
    await mesh?.remove();
  });

  async function connections(edge: Edge, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const connection = await mesh.connect(edge);
      await exchange(connection);
      await close(connection);
    }
    done.set(edge, done.get(edge)! + count);
  }

  async function allIsTold(edge: Edge): Promise<void> {
    const count = done.get(edge)!;
    // nobody knows the far end of legacy: only the client's side is told by names
    for (const reporter of edge.workload === 'unknown' ? ['source'] : ['source', 'destination']) {
      await eventually(async () => {
        const values: number[] = [];
        for (const family of FAMILIES)
          values.push(await prometheus.value(`sum(${family}{${selected(edge, reporter)}})`));
        expect(values).toEqual([count, count, 11 * count, 22 * count]);
      });
    }
  }

  test.for(EDGES)('has every connection and every byte of $client to $service', (edge) => allIsTold(edge));

  test('has the connection that was refused', async () => {
    await mesh.refused();
    const refused = 'source_workload="shopper",destination_workload="ratings-v1",response_flags="CONNECT"';
    await eventually(async () => {
      expect(await prometheus.value(`sum(istio_tcp_connections_failed_total{${refused}})`)).toBe(1);
      expect(await prometheus.value(`sum(istio_tcp_connections_closed_total{${refused}})`)).toBe(1);
      const type = 'tcp_connect_failures_total{source_workload="shopper",error_type="connection_refused"}';
      expect(await prometheus.value(`sum(${type})`)).toBe(1);
    });
  });

  test.for([
    ['connections_opened', 'sum(istio_tcp_connections_opened_total)'],
    ['connections_closed', 'sum(istio_tcp_connections_closed_total{response_flags="-"})'],
    ['connections_failed', 'sum(istio_tcp_connections_failed_total)'],
    [
      'bytes_sent',
      'sum(istio_tcp_received_bytes_total{reporter="source"}) + sum(istio_tcp_sent_bytes_total{reporter="destination"})',
    ],
    [
      'bytes_received',
      'sum(istio_tcp_sent_bytes_total{reporter="source"}) + sum(istio_tcp_received_bytes_total{reporter="destination"})',
    ],
  ])('tcpledger_%s_total is the sum of the series, in one scrape', async ([total, sum]) => {
    await eventually(async () => {
      expect(await prometheus.value(`sum(tcpledger_${total}_total) - (${sum})`)).toBe(0);
    });
    expect(await prometheus.value(`sum(tcpledger_${total}_total)`)).toBeGreaterThan(0);
  });

  test('increase() over a window has what happened in it', async () => {
    await allIsTold(TO_REVIEWS);
    await connections(TO_REVIEWS, 30);
    await allIsTold(TO_REVIEWS);
    for (const [family, each] of [
      [FAMILIES[0], 1],
      [FAMILIES[2], 11],
      [FAMILIES[3], 22],
    ] as const) {
      for (const reporter of ['source', 'destination']) {
        const increase = await prometheus.value(`sum(increase(${family}{${selected(TO_REVIEWS, reporter)}}[15m]))`);
        // it extrapolates to the borders of the window: never less, perhaps a little more
        expect(increase).toBeGreaterThanOrEqual(30 * each - 1e-6);
      }
    }
  });

  test('histogram_quantile() finds how long a connection lasted', async () => {
    const before = Date.now();
    const connection = await mesh.connect({ client: 'probe', service: 'ratings', dials: 'pod' });
    const opened = Date.now();
    await exchange(connection);
    await delay(300);
    const closing = Date.now();
    await close(connection);
    const [least, most] = [(closing - opened) / 1000, (Date.now() - before) / 1000];
    const labels = 'reporter="source",source_workload="probe",destination_workload="ratings-v1"';
    const quantile = (q: number) =>
      prometheus.value(`histogram_quantile(${q}, sum by (le) (tcp_connection_duration_seconds_bucket{${labels}}))`);
    await eventually(async () => {
      expect(await prometheus.value(`sum(tcp_connection_duration_seconds_count{${labels}})`)).toBe(1);
    });
    // the borders of the bucket it is in
    expect(await quantile(1)).toBeGreaterThanOrEqual(least);
    expect(await quantile(1e-9)).toBeLessThanOrEqual(most + 1e-6);
    const sum = await prometheus.value(`sum(tcp_connection_duration_seconds_sum{${labels}})`);
    expect(sum).toBeGreaterThanOrEqual(least - 0.001);
    expect(sum).toBeLessThanOrEqual(most + 0.001);
  });

  test('has asked for OpenMetrics and got it', async () => {
    // in OpenMetrics a family is called without its suffix, and has a unit
    expect(await prometheus.get('targets/metadata?metric=istio_tcp_connections_opened')).toEqual([
      expect.objectContaining({ type: 'counter', help: 'The total number of TCP connections opened' }),
    ]);
    expect(await prometheus.get('targets/metadata?metric=istio_tcp_connections_opened_total')).toEqual([]);
    expect(await prometheus.value('up')).toBe(1);
    const { activeTargets } = (await prometheus.get('targets')) as { activeTargets: { lastError: string }[] };
    expect(activeTargets.map(({ lastError }) => lastError)).toEqual(['']);
  });

  test("no label is in the way of the scrape's own", async () => {
    const labels = (await prometheus.get('labels')) as string[];
    expect(labels).toContain('source_workload');
    expect(labels.filter((label) => label.startsWith('exported_') || label.startsWith('otel_'))).toEqual([]);
  });

  test('promtool has nothing against the page', async () => {
    const page = await (await fetch(`${agent.url}/metrics`)).text();
    expect(page).toContain('source_workload="shopper"');
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: page, encoding: 'utf8' });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  });
});
