/** The requests that the kernel gets, and what is made of its answers, whatever comes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Flow, LONGEST_REQUEST, readAnswers, writeRequest } from '../../../src/identity/conntrack/messages.ts';
import { addressFromBytes } from '../../../src/semconv/address.ts';
import { entryMessage, errorMessage, readRequests } from './wire.ts';

const address = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((raw) => addressFromBytes(raw)!);
const v4 = address(4);
const v6 = address(16).filter((text) => text.includes(':'));
const port = fc.integer({ min: 0, max: 65_535 });
const anySequence = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const state = fc.integer({ min: 0, max: 255 });

const flowOf = (ip: fc.Arbitrary<string>): fc.Arbitrary<Flow> =>
  fc.record({ localAddress: ip, localPort: port, remoteAddress: ip, remotePort: port });
const anyFlow = fc.oneof(flowOf(v4), flowOf(v6));
const anyEntry = fc.oneof(
  fc.record({ flow: flowOf(v4), server: fc.record({ address: v4, port }), state, sequence: anySequence }),
  fc.record({ flow: flowOf(v6), server: fc.record({ address: v6, port }), state, sequence: anySequence }),
  // a translation from one family to the other
  fc.record({ flow: flowOf(v6), server: fc.record({ address: v4, port }), state, sequence: anySequence }),
);

describe('requests', () => {
  it('say what the kernel reads, one behind the other', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyFlow, anySequence), { maxLength: 8 }), (asked) => {
        const bytes = Buffer.alloc(asked.length * LONGEST_REQUEST, 0xff);
        let end = 0;
        for (const [flow, sequence] of asked) end = writeRequest(bytes, end, sequence, flow);
        const expected = asked.map(([flow, sequence]) => ({
          sequence,
          family: flow.remoteAddress.includes(':') ? 10 : 2,
          flow,
        }));
        expect(readRequests(bytes.subarray(0, end))).toEqual(expected);
      }),
    );
  });
});

describe('answers', () => {
  const messageOf = ({ flow, server, state, sequence }: typeof anyEntry extends fc.Arbitrary<infer T> ? T : never) =>
    entryMessage(sequence, flow, { server, state });

  it('name who answers the client', () => {
    fc.assert(
      fc.property(anyEntry, (entry) => {
        const { sequence, server, state } = entry;
        const bytes = messageOf(entry);
        expect(readAnswers(bytes, bytes.length)).toEqual([{ kind: 'entry', sequence, server, state }]);
      }),
    );
  });

  it('or say why there is none; several in one message', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anySequence, fc.integer({ min: 0, max: 133 }))), (errors) => {
        const bytes = Buffer.concat(errors.map(([sequence, errno]) => errorMessage(sequence, errno)));
        const expected = errors.map(([sequence, errno]) => ({ kind: 'error', sequence, errno }));
        expect(readAnswers(bytes, bytes.length)).toEqual(expected);
      }),
    );
  });

  it('cut off anywhere are malformed, never another answer', () => {
    fc.assert(
      fc.property(anyEntry, fc.nat(), (entry, cut) => {
        const whole = messageOf(entry);
        const length = cut % whole.length;
        const answers = readAnswers(whole, length);
        expect(answers).toEqual(length < 16 ? [] : [{ kind: 'malformed', sequence: entry.sequence }]);
      }),
    );
  });

  it('whose lengths lie are not read beyond their end', () => {
    fc.assert(
      fc.property(anyEntry, fc.nat(), fc.integer({ min: 0, max: 255 }), (entry, place, value) => {
        const bytes = messageOf(entry);
        bytes[place % bytes.length] = value;
        for (const answer of readAnswers(bytes, bytes.length))
          expect(['entry', 'error', 'malformed']).toContain(answer.kind);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (noise) => {
        const bytes = Buffer.from(noise);
        expect(() => readAnswers(bytes, bytes.length)).not.toThrow();
      }),
    );
  });

  it.each([
    ['no reply', 2],
    ['no state', 4],
  ])('%s: malformed', (_, type) => {
    const flow = { localAddress: '10.0.0.1', localPort: 1, remoteAddress: '10.0.0.2', remotePort: 2 };
    const bytes = entryMessage(7, flow, { server: { address: '10.0.0.3', port: 3 }, state: 7 });
    for (let at = 20; at < bytes.length; at += (bytes.readUInt16LE(at) + 3) & ~3) {
      if ((bytes.readUInt16LE(at + 2) & 0x3fff) === type) bytes.writeUInt16LE(99, at + 2);
    }
    expect(readAnswers(bytes, bytes.length)).toEqual([{ kind: 'malformed', sequence: 7 }]);
  });
});
