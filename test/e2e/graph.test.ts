/**
 * The pictures that people draw of a mesh, from each source of names: Kiali's graph and Istio's dashboards on a real
 * Prometheus, every number of them the oracle's, while connections last.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Agent, startAgent } from '../kernel/support/agent.ts';
import { eventually } from '../kernel/support/eventually.ts';
import { describeOnKernel } from '../kernel/support/suite.ts';
import { LABELS } from './conformance/support/account.ts';
import { expectedAnswer, type Oracle } from './support/answers.ts';
import { filledIn, PANELS, type Panel } from './support/dashboards.ts';
import { expectedSeries, FAMILIES, isStranger, knownPods } from './support/expected-series.ts';
import { edgesOf, graphEdges, graphQuery, QUESTIONS } from './support/kiali.ts';
import { createMesh, EDGES, ELSEWHERE, fqdn, type Mesh, NAMESPACE, PODS, SERVICES } from './support/mesh.ts';
import { MeshTraffic } from './support/mesh-traffic.ts';
import { labelsText, momentAfterRound, seriesText, seriesTexts } from './support/moment.ts';
import { NAMES, type Names, type ToldNames } from './support/names.ts';
import { type Element, type Prometheus, prometheusMissing, startPrometheus } from './support/prometheus.ts';

/** As the dashboards of ztunnel select its pods. */
const TARGET = { pod: 'ztunnel-test', app: 'ztunnel' } as const;

const noPrometheus = prometheusMissing();

describeOnKernel('the graph of a mesh', () => {
  let mesh: Mesh;

  beforeAll(async () => {
    mesh = await createMesh();
  });

  afterAll(async () => {
    await mesh?.remove();
  });

  describe.each(NAMES)('with names from $source', (names) => {
    const missing = noPrometheus ?? names.missing();
    if (missing !== undefined) {
      test.skip(missing, () => undefined);
      return;
    }
    const series = expectedSeries(names);
    let told: ToldNames;
    let agent: Agent;
    let traffic: MeshTraffic;
    let prometheus: Prometheus;
    let oracle: Oracle;
    /** Unix seconds as of which all is asked. */
    let time: number;

    beforeAll(async () => {
      told = await names.start(mesh);
      agent = await startAgent(told.options);
      traffic = await MeshTraffic.begin(mesh);
      await eventually(async () => {
        const { samples } = await agent.scrape();
        const own = samples.filter(({ name, labels }) => name in FAMILIES && !isStranger(labels));
        const texts = own.map(({ name, labels, value }) => seriesText(name, labels, value));
        expect(texts.sort()).toEqual(seriesTexts(series, traffic.account()));
      });
      prometheus = await startPrometheus(new URL(agent.url).host, TARGET);
      const targetLabels = { ...TARGET, job: 'tcpledger', instance: new URL(agent.url).host };
      const moment = await momentAfterRound(prometheus, targetLabels, traffic, series);
      time = moment.scrapes.at(-1)! / 1000;
      const ask = (expression: string) => prometheus.query(expression, time);
      oracle = { series, targetLabels, moment, ask };
    });

    afterAll(async () => {
      await prometheus?.stop();
      await traffic?.end();
      await agent?.kill();
      await told?.stop();
    });

    /** The oracle's answer, which is Prometheus'. */
    async function answered(expression: string): Promise<readonly Element[]> {
      const expected = await expectedAnswer(expression, oracle);
      const answer = await oracle.ask(expression);
      expect([expression, sorted(answer)]).toEqual([
        expression,
        sorted(expected).map(([labels, value]) => [labels, expect.closeTo(value, 6)]),
      ]);
      return answer;
    }

    test('the source counts what it knows', async () => {
      const labels = { source: names.source };
      const page = await agent.scrape();
      const objects = (kind: string) => page.sum('tcpledger_identity_objects', { ...labels, kind });
      expect(page.sum('tcpledger_identity_synced', labels)).toBe(1);
      const known = PODS.filter((pod) => knownPods(pod.workload, names).includes(pod));
      expect([objects('workload'), objects('service')]).toEqual([known.length, SERVICES.length + names.otherServices]);
    });

    test('every label is there, none is empty, - is a flag only, and no service is made up', async () => {
      for (const family of Object.keys(FAMILIES)) {
        for (const { labels } of await prometheus.query(family)) {
          expect(Object.keys(labels)).toEqual(expect.arrayContaining([...LABELS]));
          const wrong = Object.entries(labels).filter(([label, value]) => value === '-' && label !== 'response_flags');
          expect(wrong).toEqual([]);
        }
      }
      const dialled = [...new Set(EDGES.map(({ service }) => service))];
      for (const [label, values] of [
        ['destination_service', dialled.map(fqdn)],
        ['destination_service_name', dialled],
        ['destination_service_namespace', [NAMESPACE]],
      ] as const) {
        expect(await prometheus.get(`label/${label}/values`)).toEqual([...values, 'unknown'].sort());
      }
    });

    test('Kiali’s three queries give one edge a pair, the same from both reporters', async () => {
      for (const metric of ['istio_tcp_sent_bytes_total', 'istio_tcp_received_bytes_total']) {
        const answers: Element[] = [];
        for (const namespace of [NAMESPACE, ELSEWHERE]) {
          for (const question of QUESTIONS) answers.push(...(await answered(graphQuery(question, metric, namespace))));
        }
        const edges = await graphEdges(prometheus, metric, [NAMESPACE, ELSEWHERE], time);
        expect(edges).toEqual(edgesOf(answers));
        expect(edges).toEqual(pairsKnownBy(names));
      }
    });

    test('and what is open now', async () => {
      const [panel] = PANELS.filter(({ expression }) => expression.includes('istio_tcp_sockets_open'));
      const total = (name: string) => `sum by (pod) (tcpledger_connections_${name}_total)`;
      const [open] = await oracle.ask(
        `${total('opened')} + ${total('adopted')} - ${total('failed')} - ${total('closed')}`,
      );
      expect(await oracle.ask(panel!.expression)).toEqual([open]);
      expect(open!.value).toBeGreaterThanOrEqual(2 * EDGES.length);
    });

    test('the log names pods where the source knows them, else their canonical service', async () => {
      await eventually(() => {
        const ours = agent.log().filter(({ fields }) => /^10\.7[12]\.9\./.test(String(fields['src.addr'])));
        expect(ours).toHaveLength(2 * closedConnections(traffic));
        for (const { fields } of ours) {
          const [source, destination] = [fields['src.addr'], fields['dst.addr']].map((at) => String(at).split(':')[0]!);
          expect([source, fields['src.workload']]).toEqual([source, loggedName(source!, names)]);
          expect([destination, fields['dst.workload']]).toEqual([destination, loggedName(destination!, names)]);
        }
      });
    });

    test('Istio’s dashboards: every panel that plaintext can fill is filled, with the numbers of the oracle', async () => {
      for (const panel of PANELS) {
        for (const qrep of ['source', 'destination']) {
          const expression = filledIn(panel, { ...CHOICES, workload: chosenWorkload(panel), qrep });
          if (expression.includes('istio_tcp_sockets_open')) continue; // of all the machine: above
          const answer = await answered(expression);
          const shows = answer.some(({ value }) => value !== 0);
          expect([panel.title, expression, shows]).toEqual([panel.title, expression, true]);
        }
      }
    });
  });
});

/** What is chosen from the dashboards' lists. */
const CHOICES = {
  __rate_interval: '1m',
  service: fqdn('details'),
  dstsvc: fqdn('details'),
  namespace: NAMESPACE,
  srcwl: '.+',
  srcns: '.+',
  dstwl: 'details-v1',
  dstns: NAMESPACE,
  dstcluster: 'Kubernetes',
} as const;

/** A client that every source knows, or its server. */
const chosenWorkload = ({ title }: Panel): string =>
  /client|outgoing|dstsvc/i.test(title) ? 'reviews-v1' : 'details-v1';

const closedConnections = (traffic: MeshTraffic): number =>
  [...traffic.account().values()].reduce((sum, { closed }) => sum + closed, 0);

/** Of the pod at an address; of two behind a virtual address what they have in common. */
function loggedName(address: string, names: Names): string | undefined {
  const service = SERVICES.find(({ vip }) => vip === address);
  const pods = PODS.filter((pod) => (service ? pod.service === service.name : pod.ip === address));
  const [pod] = pods.filter((each) => knownPods(each.workload, names).includes(each));
  return pod && pods.length === 1 ? (names.podName(pod) ?? pod.workload) : pod?.workload;
}

/** Every pair as Kiali calls it, by who is known at its ends. */
function pairsKnownBy(names: Names): string[] {
  const known = (workload: string) => (knownPods(workload, names).length > 0 ? workload : 'unknown');
  const edges = EDGES.map(({ client, service, workload }) => `${known(client)} → ${service} → ${known(workload)}`);
  return [...new Set(edges)].sort();
}

const sorted = (elements: readonly Element[]): [string, number][] =>
  elements
    .map(({ labels, value }): [string, number] => [labelsText(labels), value])
    .sort(([a], [b]) => (a < b ? -1 : 1));
