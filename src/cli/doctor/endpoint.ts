/** Whether the page's endpoint can be had: it is free, or an agent that runs already has it. */
import { createServer } from 'node:http';
import { addressText, listen } from '../../exporters/prometheus/listen.ts';
import { AGENT_METRICS } from '../../semconv/registry.ts';
import type { Finding } from './finding.ts';

export interface Endpoint {
  /** Of the exporter. */
  readonly id: string;
  readonly host: string;
  readonly port: number;
}

const EVERY_ADDRESS: readonly string[] = ['::', '0.0.0.0'];

/** How long whoever holds the address may take to show its page. */
const PATIENCE_MS = 5_000;

export async function endpoint({ id, host, port }: Endpoint): Promise<Finding> {
  const feature = 'endpoint';
  const address = addressText(host, port);
  try {
    const servers = await listen({ host, port }, `exporters.${id}.endpoint`, createServer);
    await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
    return { feature, ok: true, detail: `${address} is free` };
  } catch (error) {
    const { message, cause } = error as Error;
    // asked in the agent's own container, or beside it, this is no obstacle
    if ((cause as NodeJS.ErrnoException).code === 'EADDRINUSE' && (await isAgents(host, port))) {
      return { feature, ok: true, detail: `${address} is an agent's that runs` };
    }
    return { feature, ok: false, detail: message, code: 'TCPL_E_ENDPOINT' };
  }
}

async function isAgents(host: string, port: number): Promise<boolean> {
  const asked = addressText(EVERY_ADDRESS.includes(host) ? '127.0.0.1' : host, port);
  try {
    const response = await fetch(`http://${asked}/metrics`, { signal: AbortSignal.timeout(PATIENCE_MS) });
    return (await response.text()).includes(AGENT_METRICS.buildInfo.name);
  } catch {
    // what shows no page is no agent
    return false;
  }
}
