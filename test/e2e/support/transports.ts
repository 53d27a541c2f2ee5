/** The two ways to a Collector, and a load whose records are told from all others by its server's address. */
import type { Agent } from '../../kernel/support/agent.ts';
import type { Collector } from '../../peers/collector.ts';
import { recordsOfRequests } from './otlp-json.ts';

export const CLIENT = { name: 'load-client', ips: ['10.73.200.1'] } as const;
export const SERVER = { name: 'load-server', ips: ['10.73.200.2'] } as const;

export const RETRY = { initial_interval: '50ms', max_interval: '200ms', max_elapsed_time: '0s' };

export const TRANSPORTS = [
  { id: 'otlp_http', where: ({ http }: Collector['ports']) => ({ endpoint: `http://127.0.0.1:${http}` }) },
  {
    id: 'otlp_grpc',
    where: ({ grpc }: Collector['ports']) => ({ endpoint: `127.0.0.1:${grpc}`, tls: { insecure: true } }),
  },
] as const;

/** Ids of the load's records, for each the number of times that it arrived. */
export function arrivals(collector: Collector): Map<string, number> {
  const times = new Map<string, number>();
  for (const { attributes } of recordsOfRequests(collector.received('logs'))) {
    if (attributes['destination.address'] !== SERVER.ips[0]) continue;
    const id = String(attributes['tcpledger.connection.id']);
    times.set(id, (times.get(id) ?? 0) + 1);
  }
  return times;
}

/** Ids of the load's lines in the log file, sorted. */
export const loggedIds = (agent: Agent): string[] =>
  agent
    .log()
    .filter(({ fields }) => String(fields['dst.addr']).startsWith(`${SERVER.ips[0]}:`))
    .map(({ fields }) => String(fields['tcpledger.connection.id']))
    .sort();
