/** Streams whose session fails before it has asked for anything. */
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../../../src/identity/clock.ts';
import { XdsClient } from '../../../../src/identity/sources/xds/client.ts';
import { probe } from '../../../../src/identity/sources/xds/dial.ts';
import { FakeLogger, FakeTelemetry } from '../../fakes.ts';
import { eventually, istiodConfig, MACHINE, response } from '../istiod/support/rig.ts';
import { DELTA_METHOD, type DiscoveryServer, discoveryServer } from './support/discovery-server.ts';
import { encode } from './support/protobuf.ts';

const closing: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const request = encode('DeltaDiscoveryRequest', {});

/** When the peer has seen the stream: then it is there to be closed. */
async function failsOnceSeen(server: DiscoveryServer): Promise<never> {
  await eventually(() => server.streams.length).toBe(1);
  throw new Error('what is known cannot be encoded');
}

it('closes the stream that its session could not open, and opens another', async () => {
  const server = await discoveryServer({ onRequest: (stream) => stream.respond(response([])) });
  closing.push(server.close);
  const logger = new FakeLogger();
  let sessions = 0;
  const client = new XdsClient({
    name: 'istiod',
    method: DELTA_METHOD,
    kind: 'ztunnel',
    config: istiodConfig(server.port),
    clock: systemClock,
    logger,
    telemetry: new FakeTelemetry(),
    machine: MACHINE,
    onProblem: () => {},
    session: (send) => {
      const first = ++sessions === 1;
      return { open: () => (first ? failsOnceSeen(server) : send(request)), receive: async () => {} };
    },
  });
  client.start();
  closing.push(() => client.shutdown());
  await eventually(() => server.streams.map(({ ended }) => ended)).toEqual([true, false]);
  await eventually(() => client.problem).toBeUndefined();
});

it('for doctor: closes the stream for which there is no request', async () => {
  const server = await discoveryServer();
  closing.push(server.close);
  const ask = () => failsOnceSeen(server);
  await expect(probe(istiodConfig(server.port), DELTA_METHOD, 'ztunnel', ask, MACHINE)).rejects.toThrow('be encoded');
  await eventually(() => server.streams.map(({ ended }) => ended)).toEqual([true]);
});
