/**
 * Streams of a discovery API that are given mutated messages in pieces of random sizes: each message is taken, refused,
 * or ends its stream, as the protocol has it, and a control plane that is right again makes the directory what it was.
 */
import { Directory, type Shelf } from '../../../../../src/identity/directory.ts';
import type { Send, XdsSession } from '../../../../../src/identity/sources/xds/client.ts';
import { XdsFailure } from '../../../../../src/identity/sources/xds/failure.ts';
import { frame, incomingMessages, whole } from '../../../../../src/identity/sources/xds/grpc-messages.ts';
import { MalformedMessage } from '../../../../../src/identity/sources/xds/protobuf-reader.ts';
import { FakeClock } from '../../../fakes.ts';
import { mutate, random } from './mutations.ts';

/** One source's half of the protocol. */
export interface FuzzTarget {
  readonly session: (send: Send) => XdsSession;
  /** Messages that are right, one of which is mutated at a time. */
  readonly messages: readonly Buffer[];
  /** What a control plane says on a new stream that is right: after it nothing else is left. */
  readonly right: () => readonly Buffer[];
  /** Whether a request refuses the message that it answers. Throws if it is no request. */
  readonly refuses: (request: Buffer) => boolean;
  /** Some of what the shelf answers. */
  readonly answers: () => Readonly<Record<string, string | undefined>>;
}

export interface FuzzResult {
  readonly messages: number;
  /** `broken`: ended its stream. */
  readonly given: { readonly broken: number; readonly refused: number; readonly accepted: number };
}

export interface FuzzOptions {
  readonly messages: number;
  readonly seed: number;
  /** Called with the number of messages so far. */
  readonly afterEach?: (count: number) => void;
}

const LONGEST = 1 << 20;

/** Rejects with any error but a refusal, and when the right state is not what it was at first; says the seed. */
export async function fuzz(
  targetFor: (shelf: Shelf) => FuzzTarget,
  { messages, seed, afterEach }: FuzzOptions,
): Promise<FuzzResult> {
  const below = random(seed);
  const clock = new FakeClock();
  const directory = new Directory(clock);
  const shelf = directory.addShelf('fuzz', '');
  const target = targetFor(shelf);
  const given = { broken: 0, refused: 0, accepted: 0 };
  let lastRequest = Buffer.alloc(0);
  const say = async (session: XdsSession, message: Buffer): Promise<void> => {
    for await (const incoming of incomingMessages(pieces(message, below), LONGEST)) {
      if ('receive' in session) await session.receive(await whole(incoming));
      else await session.receivePieces(incoming);
    }
  };
  /** A stream of a control plane that is right. */
  const open = async (): Promise<XdsSession> => {
    const session = target.session((request) => {
      lastRequest = Buffer.from(request);
    });
    await session.open(Buffer.alloc(0));
    for (const message of target.right()) await say(session, message);
    return session;
  };
  const state = () =>
    JSON.stringify({ ...target.answers(), workloads: shelf.workloadCount, services: shelf.services.size });
  let session = await open();
  const good = { state: state(), pool: directory.pool.size };
  const expectGood = (count: number, got: string, wanted: string): void => {
    if (got !== wanted) throw new Error(`seed ${seed}, after ${count} messages: ${got} instead of ${wanted}`);
  };
  for (let count = 1; count <= messages; count++) {
    try {
      await say(session, mutate(target.messages[below(target.messages.length)]!, below));
      given[target.refuses(lastRequest) ? 'refused' : 'accepted']++;
    } catch (error) {
      const isRefusal = error instanceof MalformedMessage || error instanceof XdsFailure;
      if (!isRefusal) throw new Error(`seed ${seed}, message ${count}`, { cause: error });
      given.broken++;
      // As the client does: another stream.
      session = await open();
      expectGood(count, state(), good.state);
    }
    if (count % 100 === 0) {
      session = await open();
      expectGood(count, state(), good.state);
      clock.advance(600_000);
      directory.prune(60_000);
    }
    afterEach?.(count);
  }
  await open();
  clock.advance(3_600_000);
  directory.prune(60_000);
  expectGood(messages, `${directory.pool.size} workloads in the pool`, `${good.pool} workloads in the pool`);
  return { messages, given };
}

async function* pieces(message: Buffer, below: (n: number) => number): AsyncIterableIterator<Buffer> {
  const framed = frame(message);
  for (let at = 0; at < framed.length; ) {
    const size = 1 + below(framed.length);
    yield framed.subarray(at, at + size);
    at += size;
  }
}
