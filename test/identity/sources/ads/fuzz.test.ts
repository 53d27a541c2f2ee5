/**
 * Responses that anybody may have made: the session accepts them, refuses them or gives the stream up, and after whatever
 * came a good state is told in full again. FUZZ_RUNS raises the number of responses.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Directory } from '../../../../src/identity/directory.ts';
import { MeshModel } from '../../../../src/identity/sources/ads/model.ts';
import { AdsSession } from '../../../../src/identity/sources/ads/session.ts';
import { XdsFailure } from '../../../../src/identity/sources/xds/failure.ts';
import { MalformedMessage } from '../../../../src/identity/sources/xds/protobuf-reader.ts';
import { FakeClock } from '../../fakes.ts';
import { ControlPlane } from './support/control-plane.ts';
import { decode, encode, type ResourceKind, TYPE_URLS } from './support/envoy.ts';
import { DB, mesh, WEB } from './support/mesh.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 3_000);

const KINDS = Object.keys(TYPE_URLS) as ResourceKind[];

function goodResponses(): readonly Buffer[] {
  const plane = new ControlPlane();
  mesh(plane);
  return KINDS.map((kind) =>
    encode('DiscoveryResponse', {
      version_info: 'v',
      nonce: 'n',
      type_url: TYPE_URLS[kind],
      resources: Object.values(plane.state[kind]).map((fields) => ({
        type_url: TYPE_URLS[kind],
        value: encode(kind, fields as Readonly<Record<string, unknown>>),
      })),
    }),
  );
}

/** In the order in which they are asked for. */
const GOOD = goodResponses();

interface Mutation {
  readonly at: number;
  readonly kind: 'set' | 'cut' | 'insert' | 'repeat';
  readonly bytes: Uint8Array;
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  /** As a part of the length. */
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  kind: fc.constantFrom('set', 'cut', 'insert', 'repeat'),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
});

function mutate(message: Buffer, { at, kind, bytes }: Mutation): Buffer {
  const offset = Math.floor(at * message.length);
  const [before, after] = [message.subarray(0, offset), message.subarray(offset)];
  if (kind === 'cut') return Buffer.concat([before, after.subarray(bytes.length)]);
  if (kind === 'insert') return Buffer.concat([before, bytes, after]);
  if (kind === 'repeat') return Buffer.concat([message, after]);
  return Buffer.concat([before, bytes, after.subarray(bytes.length)]);
}

function createSession() {
  const clock = new FakeClock();
  const directory = new Directory(clock);
  const shelf = directory.addShelf('ads', '');
  const model = new MeshModel(shelf);
  const requests: Buffer[] = [];
  const open = () => {
    const session = new AdsSession({
      model,
      send: (request) => requests.push(request),
      onApplied: () => {},
      onRejected: () => {},
    });
    session.open(Buffer.alloc(0));
    return session;
  };
  return { clock, directory, shelf, open, requests };
}

async function tellAll(session: AdsSession): Promise<void> {
  for (const response of GOOD) await session.receive(response);
}

describe('mutated responses', () => {
  it('do no harm that a good one does not mend', async () => {
    const { clock, directory, shelf, open, requests } = createSession();
    let session = open();
    await tellAll(session);
    const state = () => ({
      workloads: shelf.workloadCount,
      services: shelf.services.size,
      web: shelf.byAddress('fd00:10::1', undefined)?.workload.name,
      db: shelf.byAddress('10.0.2.1', undefined)?.workload.name,
      http: shelf.services.byAddress('', '10.96.0.1', undefined, 80)?.service.hostname,
      tcp: shelf.services.byAddress('', 'fd00:96::2', undefined, 5432)?.service.hostname,
    });
    const good = { workloads: 4, services: 2, web: 'web-v1', db: 'db', http: WEB, tcp: DB };
    expect(state()).toEqual(good);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(GOOD.length - 1),
        fc.array(mutation, { minLength: 1, maxLength: 4 }),
        async (kind, changes) => {
          const response = changes.reduce(mutate, GOOD[kind]!);
          try {
            await session.receive(response);
          } catch (error) {
            if (!(error instanceof XdsFailure || error instanceof MalformedMessage)) throw error;
          }
          // A mended state comes over whatever stream there is then.
          session = open();
          await tellAll(session);
          expect(state()).toEqual(good);
          // What is sent is a request, whatever texts came.
          for (const request of requests.splice(0)) decode('DiscoveryRequest', request);
          clock.advance(1_000);
          directory.prune();
        },
      ),
      { numRuns: RUNS },
    );
    // Nothing is left of the thousands of names that came and went.
    clock.advance(3_600_000);
    directory.prune();
    expect(directory.pool.size).toBe(2);
  });
});
