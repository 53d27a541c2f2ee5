/** gRPC's messages in a stream of bytes (gRPC over HTTP/2: one byte that says whether it is compressed, four of length). */

const HEADER = 5;

export class BrokenStream extends Error {}

/** One message as it arrives: all of a large mesh comes in one, and nothing of it need be kept. */
export interface IncomingMessage {
  /** Bytes. */
  readonly length: number;
  /** The message in pieces, as they come from the network: each is valid until the next is asked for. Once only. */
  pieces(): AsyncIterableIterator<Buffer>;
}

export function frame(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(HEADER + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  message.copy(framed, HEADER);
  return framed;
}

/** The whole message in one piece. */
export async function whole({ length, pieces }: IncomingMessage): Promise<Buffer> {
  const message = Buffer.allocUnsafe(length);
  let at = 0;
  for await (const piece of pieces()) at += piece.copy(message, at);
  return message;
}

/**
 * The messages in `chunks`, one after the other; what is not read of one is read over when the next is asked for.
 *
 * @throws BrokenStream where a message is compressed (nobody was asked to), longer than `longest`, or breaks off.
 */
export async function* incomingMessages(
  chunks: AsyncIterable<Buffer>,
  longest: number,
): AsyncIterableIterator<IncomingMessage> {
  const source = chunks[Symbol.asyncIterator]();
  let rest: Buffer = Buffer.alloc(0);
  /** False at the end of the stream. */
  const more = async (): Promise<boolean> => {
    const { done, value } = await source.next();
    rest = done ? Buffer.alloc(0) : value;
    return !done;
  };
  for (;;) {
    while (rest.length < HEADER) {
      const before = rest;
      if (!(await more())) {
        if (before.length > 0) throw new BrokenStream('the stream breaks off within a message');
        return;
      }
      if (before.length > 0) rest = Buffer.concat([before, rest]);
    }
    if (rest[0] !== 0) throw new BrokenStream('a message is compressed, which was not asked for');
    const length = rest.readUInt32BE(1);
    if (length > longest) throw new BrokenStream(`a message has ${length} bytes, at most ${longest} are taken`);
    rest = rest.subarray(HEADER);
    let left = length;
    async function* pieces(): AsyncIterableIterator<Buffer> {
      while (left > 0) {
        if (rest.length === 0 && !(await more())) throw new BrokenStream('the stream breaks off within a message');
        const piece = rest.subarray(0, left);
        rest = rest.subarray(piece.length);
        left -= piece.length;
        if (piece.length > 0) yield piece;
      }
    }
    yield { length, pieces };
    for await (const _piece of pieces());
  }
}
