/**
 * User CPU of the agent per connection end, with metrics only and with access logs by OTLP over HTTP.
 *
 * Method: the bundled agent, its user time by getrusage's clock (/proc/<pid>/stat, 10 ms), over 200,000 connection ends
 * of saturated load on the loopback. An idle agent's user time over the same length of time is taken off. The two ways
 * in turns, three rounds, medians. The OTLP sink is a process of its own that answers 200 and throws away what it reads.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Agent, startAgent } from './support/agent.ts';
import { median, tell } from './support/figures.ts';
import { load } from './support/load.ts';

const CONNECTIONS = 100_000;
const ROUNDS = 3;

const SINK = `
  const server = require('node:http').createServer((request, response) => {
    request.resume().on('end', () => response.setHeader('content-type', 'application/x-protobuf').end());
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`;

/** µs per connection end, net of an idle agent. */
async function cost(agent: Agent): Promise<number> {
  await load({ connections: CONNECTIONS / 4 });
  await sleep(2_000);
  const begin = agent.userUs();
  const from = performance.now();
  const { connections } = await load({ connections: CONNECTIONS });
  await sleep(1_500);
  const loaded = agent.userUs() - begin;
  const took = performance.now() - from;
  const idleBegin = agent.userUs();
  await sleep(took);
  return (loaded - (agent.userUs() - idleBegin)) / (2 * connections);
}

async function main(): Promise<void> {
  const sink = spawn(process.execPath, ['-e', SINK], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = await once(sink.stdout, 'data');
  const metricsOnly: number[] = [];
  const withLogs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const quiet = await startAgent({});
    metricsOnly.push(await cost(quiet));
    await quiet.stop();
    const logging = await startAgent({ otlp_http: { endpoint: `http://127.0.0.1:${String(port).trim()}` } });
    withLogs.push(await cost(logging));
    await logging.stop();
  }
  sink.kill();
  tell([
    { name: 'user CPU per connection end, metrics only', measured: median(metricsOnly), unit: 'µs', atMost: 0.7 },
    {
      name: 'user CPU per connection end, with OTLP logs over HTTP',
      measured: median(withLogs),
      unit: 'µs',
      atMost: 4,
    },
  ]);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
