/** Decoding the ring's `struct record` (bpf/record.h), in place. */
import { getSystemErrorName } from 'node:util';
import { CONNECT_ERRORS } from '../semconv/pair-fields.ts';
import type { Layout } from './btf.ts';
import { addressTexts, commTexts, ROLES } from './pairs.ts';
import type { CloseReason, ConnectionEvent, ConnectionRecord } from './types.ts';

/** enum event of bpf/record.h. */
const EVENTS: readonly ConnectionEvent[] = ['open', 'close', 'fail'];
/** enum close_reason of bpf/record.h. */
const CLOSE_REASONS: readonly CloseReason[] = ['normal', 'peer_reset', 'local_reset', 'timeout'];
const OTHER = CONNECT_ERRORS.indexOf('_OTHER');
const TWO_32 = 2 ** 32;

/** `at` is the byte offset of a record in `memory`. The result holds nothing of the memory. */
export function createRecordReader(memory: ArrayBuffer, record: Layout): (at: number) => ConnectionRecord {
  const words = new Uint32Array(memory);
  const bytes = Buffer.from(memory);
  const offset = (member: string) => record.offset(member);
  const wordOf = (member: string) => offset(member) >>> 2;
  const id = wordOf('id');
  const time = wordOf('time_ns');
  const opened = wordOf('opened_ns');
  const established = wordOf('established_ns');
  const sent = wordOf('sent');
  const received = wordOf('received');
  const local = offset('local_ip');
  const remote = offset('remote_ip');
  const slot = wordOf('slot');
  const generation = wordOf('generation');
  const pid = wordOf('pid');
  const localPort = offset('local_port');
  const remotePort = offset('remote_port');
  const event = offset('event');
  const role = offset('role');
  const closeReason = offset('close_reason');
  const connectError = offset('connect_error');
  const skErr = offset('sk_err');
  const adopted = offset('adopted');
  const dialledPort = offset('dialled_port');
  const srtt = wordOf('srtt_us');
  const minRtt = wordOf('min_rtt_us');
  const retransmitted = wordOf('retransmitted');
  const lost = wordOf('lost');
  const segmentsSent = wordOf('segments_sent');
  const segmentsReceived = wordOf('segments_received');
  const comm = offset('comm');
  const wide = (word: number) => words[word + 1]! * TWO_32 + words[word]!;
  const short = (at: number) => bytes[at]! | (bytes[at + 1]! << 8);

  return (at) => {
    const word = at >>> 2;
    const what = EVENTS[bytes[at + event]!]!;
    const errno = bytes[at + skErr]!;
    return {
      event: what,
      connectionId: sequence(words[word + id + 1]!, words[word + id]!),
      slot: words[word + slot]!,
      generation: words[word + generation]!,
      role: ROLES[bytes[at + role]!]!,
      localAddress: addressTexts.get(words, bytes, at + local),
      localPort: short(at + localPort),
      remoteAddress: addressTexts.get(words, bytes, at + remote),
      remotePort: short(at + remotePort),
      dialledPort: short(at + dialledPort),
      adopted: bytes[at + adopted] !== 0,
      timeNs: wide(word + time),
      openedNs: wide(word + opened),
      establishedNs: wide(word + established),
      bytesSent: wide(word + sent),
      bytesReceived: wide(word + received),
      closeReason: what === 'close' ? CLOSE_REASONS[bytes[at + closeReason]!] : undefined,
      errno,
      errorType: what === 'fail' ? errorType(bytes[at + connectError]!, errno) : undefined,
      smoothedRttUs: words[word + srtt]!,
      minRttUs: words[word + minRtt]!,
      retransmits: words[word + retransmitted]!,
      lost: words[word + lost]!,
      segmentsSent: words[word + segmentsSent]!,
      segmentsReceived: words[word + segmentsReceived]!,
      pid: words[word + pid]!,
      executable: commTexts.get(words, bytes, at + comm),
    };
  };
}

/** A record says more than the counters, which have one class for the rest: the errno's own name. */
function errorType(error: number, errno: number): string {
  return error === OTHER && errno !== 0 ? getSystemErrorName(-errno) : CONNECT_ERRORS[error]!;
}

/** Exact above 2^53 too. */
function sequence(high: number, low: number): number | string {
  return high < 2 ** 21 ? high * TWO_32 + low : String((BigInt(high) << 32n) | BigInt(low));
}
