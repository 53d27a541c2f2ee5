/** Known traffic between two named workloads in a namespace of their own, and what the agent has to say of it. */
import { expect } from 'vitest';
import type { Agent } from '../../kernel/support/agent.ts';
import { eventually } from '../../kernel/support/eventually.ts';
import { load } from '../../kernel/support/load.ts';
import { loopbackNamespace, type Namespace } from '../../kernel/support/namespace.ts';
import type { Page } from '../../kernel/support/prometheus-text.ts';

/** Of all so far: each has addresses of its own, for an agent sees the traffic of tests that run beside its own as well. */
let made = 0;
/** In a namespace of its own nobody else has it. The same all the time: one pair. */
const PORT = 8080;

/** Of one reporter: connections opened and closed, bytes to the server and to the client. */
export const pairTotals = (page: Page, client: string, server: string, reporter: string): number[] => {
  const labels = { reporter, source_workload: client, destination_workload: server };
  return [
    page.sum('istio_tcp_connections_opened_total', labels),
    page.sum('istio_tcp_connections_closed_total', labels),
    page.sum('istio_tcp_received_bytes_total', labels),
    page.sum('istio_tcp_sent_bytes_total', labels),
  ];
};

interface End<Name extends string> {
  readonly name: Name;
  readonly ips: readonly [string];
}

export class Traffic {
  readonly namespace: Namespace;
  /** The two ends, unless a test gives their addresses to others. */
  readonly workloads: readonly [End<'caller'>, End<'callee'>];
  readonly #client: string;
  readonly #server: string;
  #connections = 0;

  private constructor(namespace: Namespace) {
    this.namespace = namespace;
    made++;
    this.#client = `10.73.200.${made}`;
    this.#server = `10.73.201.${made}`;
    this.workloads = [
      { name: 'caller', ips: [this.#client] },
      { name: 'callee', ips: [this.#server] },
    ];
  }

  static async create(): Promise<Traffic> {
    return new Traffic(await loopbackNamespace());
  }

  /** Connections so far. */
  get connections(): number {
    return this.#connections;
  }

  /** So many connections, one after another or a few at once: 11 bytes there, 22 back. */
  async run(connections: number): Promise<void> {
    const ends = { address: this.#server, port: PORT, source: this.#client };
    await load(this.namespace, { ...ends, connections, send: 11, reply: 22 });
    this.#connections += connections;
  }

  /** The page has all of it. */
  async isOnPage(agent: Agent, client = 'caller', server = 'callee'): Promise<void> {
    const n = this.#connections;
    const expected = [n, n, 11 * n, 22 * n];
    for (const reporter of ['source', 'destination']) {
      await eventually(async () => {
        expect(pairTotals(await agent.scrape(), client, server, reporter)).toEqual(expected);
      });
    }
  }

  /** The log file has a whole line for each end, once. */
  async isInLog(agent: Agent): Promise<void> {
    await eventually(() => this.isIn(agent.log()));
  }

  /** As isInLog, but of lines that were read already. */
  isIn(lines: ReturnType<Agent['log']>): void {
    expectAll(lines, this.#server, this.#connections);
  }

  remove(): void {
    this.namespace.remove();
  }
}

function expectAll(lines: ReturnType<Agent['log']>, server: string, connections: number): void {
  const ours = lines
    .map(({ fields }) => fields)
    .filter((fields) => String(fields['dst.addr']).startsWith(`${server}:`));
  const bytes = ours.map(({ direction, bytes_sent, bytes_recv }) => `${direction} ${bytes_sent} ${bytes_recv}`);
  expect({
    outbound: bytes.filter((line) => line === 'outbound 11 22').length,
    inbound: bytes.filter((line) => line === 'inbound 22 11').length,
    lines: bytes.length,
    ids: new Set(ours.map((fields) => fields['tcpledger.connection.id'])).size,
  }).toEqual({ outbound: connections, inbound: connections, lines: 2 * connections, ids: 2 * connections });
}
