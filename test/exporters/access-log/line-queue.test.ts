import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineQueue } from '../../../src/exporters/access-log/line-queue.ts';

const lines = fc
  .array(
    fc.string({ unit: 'grapheme-ascii', maxLength: 5 }).map((s) => `${s.replaceAll('\n', '')}\n`),
    { minLength: 1, maxLength: 5 },
  )
  .map((parts) => parts.join(''));

type Step = ['push', string] | ['write', number] | ['rewind'] | ['clear'];
const step: fc.Arbitrary<Step> = fc.oneof(
  lines.map((text): Step => ['push', text]),
  fc.nat({ max: 30 }).map((count): Step => ['write', count]),
  fc.constant<Step>(['rewind']),
  { weight: 1, arbitrary: fc.constant<Step>(['clear']) },
);

/** The same queue as one string and a position. */
class Model {
  text = '';
  at = 0;

  get torn(): number {
    return this.at - (this.text.lastIndexOf('\n', this.at - 1) + 1) * (this.at > 0 ? 1 : 0);
  }
}

describe('a line queue', () => {
  it('gives every byte once, in order, knows the torn line and can begin it again', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const queue = new LineQueue();
        const model = new Model();
        for (const [what, value] of steps) {
          if (what === 'push') {
            queue.push(Buffer.from(value));
            model.text += value;
          } else if (what === 'write') {
            const head = queue.head();
            const waiting = Buffer.from(model.text).subarray(model.at);
            if (head === undefined) {
              expect(waiting).toHaveLength(0);
              continue;
            }
            expect(head.equals(waiting.subarray(0, head.length))).toBe(true);
            expect(head.length).toBeGreaterThan(0);
            const count = Math.min(value, head.length);
            if (count === 0) continue;
            queue.advance(count);
            model.at += count;
          } else if (what === 'rewind') {
            queue.rewind();
            model.at -= model.torn;
          } else {
            expect(queue.clear()).toBe(model.text.slice(model.at).split('\n').length - 1);
            model.at = model.text.length;
          }
          expect(queue.bytes).toBe(model.text.length - model.at);
          expect(queue.torn).toBe(model.torn);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('joins small chunks up to a size', () => {
    const queue = new LineQueue();
    const chunk = Buffer.from(`${'x'.repeat(99_999)}\n`);
    for (let i = 0; i < 4; i++) queue.push(chunk);
    expect(queue.head()).toHaveLength(200_000);
    queue.advance(200_000);
    expect(queue.head()).toHaveLength(200_000);
  });

  it('gives a chunk beyond that size whole', () => {
    const queue = new LineQueue();
    queue.push(Buffer.from(`${'x'.repeat(999_999)}\n`));
    queue.push(Buffer.from('y\n'));
    expect(queue.head()).toHaveLength(1_000_000);
  });
});
