/** Logs pipelines' side: the ring's records, decoded and handed on in batches. */
import type { ReceiverOutputs } from '../collector/component.ts';
import type { Kernel } from './kernel.ts';
import { createRecordReader } from './record.ts';
import { openRing } from './ring.ts';
import type { ConnectionRecord, PairSource } from './types.ts';

/** Records decoded before the event loop gets its turn, about 1 ms. */
export const BATCH_RECORDS = 2048;

export interface RecordFeed {
  /** Hands on what the ring holds, BATCH_RECORDS at most, and returns how many. */
  drain(): number;
  /** Share of the ring that waited to be read at the last drain. */
  fill(): number;
}

export function createRecordFeed(kernel: Kernel, outputs: ReceiverOutputs, source: PairSource): RecordFeed {
  const ring = openRing(kernel.ring);
  const read = createRecordReader(ring.memory, kernel.layouts.record);
  const records: ConnectionRecord[] = [];
  const keep = (at: number) => void records.push(read(at));
  let fill = 0;
  return {
    drain() {
      fill = ring.fill();
      records.length = 0;
      const count = ring.drain(keep, BATCH_RECORDS);
      /* without a logs pipeline the kernel writes none: what is left of before is nobody's */
      if (count > 0) outputs.logs?.consume({ records, source });
      return count;
    },
    fill: () => fill,
  };
}
