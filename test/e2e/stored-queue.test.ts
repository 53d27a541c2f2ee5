/** What waits for the Collector waits on disk: SIGKILL of the agent loses nothing of it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { scanFrames } from '../../src/collector/storage/frames.ts';
import { isGzip } from '../../src/exporters/otlp-http/packing.ts';
import { type AgentOptions, startAgent } from '../kernel/support/agent.ts';
import { undoLater } from '../kernel/support/cleanup.ts';
import { eventually } from '../kernel/support/eventually.ts';
import { freePort } from '../kernel/support/free-port.ts';
import { load } from '../kernel/support/load.ts';
import { loopbackNamespace } from '../kernel/support/namespace.ts';
import { describeOnKernel } from '../kernel/support/suite.ts';
import { collectorMissing, startCollector } from '../peers/collector.ts';
import { arrivals, CLIENT, loggedIds, RETRY, SERVER, TRANSPORTS } from './support/transports.ts';

const missing = collectorMissing();

describeOnKernel('a queue in storage', () => {
  if (missing !== undefined) {
    test.skip(missing, () => undefined);
    return;
  }

  test.for(TRANSPORTS)('$id: what waits for the Collector survives SIGKILL of the agent', async ({ id, where }) => {
    const directory = mkdtempSync(join(tmpdir(), 'tcpledger-queue-'));
    const removeDirectory = undoLater(() => rmSync(directory, { recursive: true }));
    const storage = join(directory, 'storage');
    const ports = { http: await freePort(), grpc: await freePort() };
    const options: AgentOptions = {
      directory,
      workloads: [CLIENT, SERVER],
      exporters: {
        [id]: {
          signals: ['logs'],
          config: { ...where(ports), retry_on_failure: RETRY, sending_queue: { storage: 'file_storage' } },
        },
      },
      extensions: { file_storage: { directory: storage } },
    };
    const loopback = await loopbackNamespace();
    const ends = { address: SERVER.ips[0], source: CLIENT.ips[0], send: 11, reply: 22 };

    const first = await startAgent(options);
    await load(loopback, { ...ends, connections: 2000 });
    await eventually(() => expect(loggedIds(first)).toHaveLength(4000));
    // records are in the log file and in the queue in the same order: those of the load are in storage
    const lines = first.log().length;
    await eventually(() => expect(storedRecords(storage)).toBeGreaterThanOrEqual(lines));
    await first.kill();

    const second = await startAgent(options);
    await load(loopback, { ...ends, connections: 1000 });
    const collector = await startCollector({ like: { ports } });
    await eventually(() => {
      expect(loggedIds(second)).toHaveLength(6000);
      expect([...arrivals(collector).keys()].sort()).toEqual(loggedIds(second));
    });
    expect(second.stderr()).toMatch(/\d+ batches of an earlier run are in storage and are sent first/);

    expect(await second.stop()).toBe(0);
    // what was delivered has left the storage, and has come once
    expect(storedRecords(storage)).toBe(0);
    expect([...arrivals(collector)].filter(([, times]) => times > 1)).toEqual([]);
    await collector.stop();
    loopback.remove();
    removeDirectory();
  });
});

/** Of a stored batch, before its request (src/exporters/otlp/batch-journal.ts). */
const BATCH_HEADER = 13;

/** Records in all journals: each has its id's key once. A request is stored as it is sent, compressed or not. */
function storedRecords(directory: string): number {
  return readdirSync(directory)
    .flatMap((name) => scanFrames(readFileSync(join(directory, name))).records)
    .map((frame) => frame.subarray(BATCH_HEADER))
    .map((request) => (isGzip(request) ? gunzipSync(request) : request).toString('latin1'))
    .reduce((sum, request) => sum + request.split('tcpledger.connection.id').length - 1, 0);
}
