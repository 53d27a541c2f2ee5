/** Sessions of the workload API that are given mutated messages in pieces of random sizes. */
import { Directory } from '../../../../../src/identity/directory.ts';
import { MeshState } from '../../../../../src/identity/sources/istiod/mesh-state.ts';
import { AddressSession } from '../../../../../src/identity/sources/istiod/session.ts';
import { frame, incomingMessages } from '../../../../../src/identity/sources/xds/grpc-messages.ts';
import { MalformedMessage } from '../../../../../src/identity/sources/xds/protobuf-reader.ts';
import { FakeClock } from '../../../fakes.ts';
import { decode, encode } from '../../xds/support/protobuf.ts';
import { MESSAGES, mutate, RIGHT, random } from './mutations.ts';

export interface FuzzResult {
  readonly messages: number;
  readonly given: { readonly broken: number; readonly refused: number; readonly accepted: number };
  /** After a last stream that says all that is right. */
  readonly state: Readonly<Record<string, string | number | undefined>>;
}

const NODE = Buffer.alloc(0);
const LONGEST = 1 << 20;

async function* pieces(message: Buffer, below: (n: number) => number): AsyncIterableIterator<Buffer> {
  const framed = frame(message);
  for (let at = 0; at < framed.length; ) {
    const size = 1 + below(framed.length);
    yield framed.subarray(at, at + size);
    at += size;
  }
}

/** All that is right, and that whatever else was declared is gone. */
function saysRight(state: MeshState): Buffer {
  const right = RIGHT.resources as readonly { readonly name: string }[];
  const names = new Set(right.map(({ name }) => name));
  const gone = [...(state.declarable() ?? [])].map(([name]) => name).filter((name) => !names.has(name));
  return encode('DeltaDiscoveryResponse', { ...RIGHT, removedResources: gone });
}

/** `afterEach`: called with the number of messages so far. Any error but a refusal of the message rejects. */
export async function fuzz(options: {
  readonly messages: number;
  readonly seed: number;
  readonly afterEach?: (count: number) => void;
}): Promise<FuzzResult> {
  const below = random(options.seed);
  const clock = new FakeClock();
  const directory = new Directory(clock);
  const shelf = directory.addShelf('istiod', '');
  const state = new MeshState(shelf, undefined);
  const given = { broken: 0, refused: 0, accepted: 0 };
  const sent: Buffer[] = [];
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  const open = async () => {
    const session = new AddressSession({
      state,
      send: (request) => sent.push(Buffer.from(request)),
      logger: silent,
      nacks: { add() {} },
      names: undefined,
      onApplied: () => shelf.markSynced(),
    });
    await session.open(NODE);
    return session;
  };
  const say = async (session: AddressSession, message: Buffer) => {
    for await (const incoming of incomingMessages(pieces(message, below), LONGEST))
      await session.receivePieces(incoming);
  };
  let session = await open();
  for (let count = 1; count <= options.messages; count++) {
    sent.length = 0;
    try {
      await say(session, mutate(MESSAGES[below(MESSAGES.length)]!, below));
      const answer = decode('DeltaDiscoveryRequest', sent.at(-1)!);
      if (answer.errorDetail) given.refused++;
      else given.accepted++;
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      given.broken++;
      // As the client does: another stream.
      session = await open();
    }
    // Now and then a control plane that is right again, on a stream of its own: nothing of what was made up is left.
    if (count % 100 === 0) {
      session = await open();
      await say(session, saysRight(state));
      clock.advance(600_000);
      directory.prune();
    }
    options.afterEach?.(count);
  }
  await say(await open(), saysRight(state));
  clock.advance(3_600_000);
  directory.prune();
  const at = (address: string) => shelf.byAddress(address, undefined)?.workload.name;
  return {
    messages: options.messages,
    given,
    state: {
      'at 10.0.0.1': at('10.0.0.1'),
      'at 10.0.0.2': at('10.0.0.2'),
      'at 10.96.0.1': shelf.services.byAddress('', '10.96.0.1', undefined)?.service.hostname,
      workloads: shelf.workloadCount,
      services: shelf.services.size,
    },
  };
}
