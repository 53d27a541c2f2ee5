/**
 * What the receiver hands on. Two kinds of data: pair batches (metrics pipelines) and connection records (logs
 * pipelines). The words slot, pair, settle and adopt are defined in bpf/README.md.
 *
 * Kernel times are CLOCK_BOOTTIME nanoseconds as doubles: exact below 104 days of uptime, to 2 ns below 208 days.
 */
import type { Address } from '../semconv/address.ts';

/** `source`: the local socket opened the connection. `destination`: it accepted it. */
export type Role = 'source' | 'destination';

/**
 * `pair`: one pair of ends. `coarse`: the slots had run out, the remote address is not known. `unattributed`: neither end is.
 */
export type SlotKind = 'pair' | 'coarse' | 'unattributed';

/** Who talks to whom, as the slot holds it for as long as its generation lasts. */
export interface Pair {
  readonly slot: number;
  readonly generation: number;
  readonly kind: SlotKind;
  readonly role: Role;
  /** NO_ADDRESS when not known (see kind). */
  readonly localAddress: Address;
  readonly remoteAddress: Address;
  /** The port of the serving end. */
  readonly servicePort: number;
  /** Inode of the local socket's cgroup v2 directory, counted up since the boot: exact as a double. 0 when not known. */
  readonly cgroupId: number;
  /** Inode of the local socket's network namespace. */
  readonly netns: number;
  /** comm of the local end's process, when pairs are told apart by it (ReceiverOutputs.needsExecutable), else empty. */
  readonly executable: string;
  /** What the application connected to, where a load balancer on the socket replaced it by `remoteAddress`; else NO_ADDRESS. */
  readonly dialledAddress: Address;
  /** 0 with no dialledAddress. */
  readonly dialledPort: number;
  /** When the slot was first used. */
  readonly createdNs: number;
}

/** Answers about slots, and the way back from identity to the kernel. */
export interface PairSource {
  /** The pair of a slot that is in the present batch or that a present record names; undefined when its generation has passed. */
  pair(slot: number, generation: number): Pair | undefined;
  /**
   * The directory's answer for this pair has changed: its key leaves the index, connections opened before keep the
   * slot, new ones get a fresh slot. No-op when the generation has passed.
   */
  renew(slot: number, generation: number): void;
  /**
   * Keeps `labels` for the slot beyond the agent's life, if storage is configured, as the text (JSON, the same at every
   * call) that `textOf` makes of them when they are written, which is not while a batch is handed on. No-op when the
   * generation has passed.
   */
  remember<Labels>(slot: number, generation: number, labels: Labels, textOf: (labels: Labels) => string): void;
  /** What an earlier agent remembered for this slot of a pinned map. */
  recall(slot: number, generation: number): string | undefined;
  /** Wall-clock time of a kernel time, in nanoseconds since the epoch split so that nothing is lost. */
  wallClock(bootNs: number): { seconds: number; nanos: number };
  /** /proc/sys/kernel/random/boot_id without dashes: the first half of tcpledger.connection.id. */
  readonly bootId: string;
}

/**
 * What pairs counted since the batch before: row i is slot[i] in generation[i], and its differences are
 * values[i * stride + field]. Fields are indexes by PAIR_FIELDS (pair-fields.ts); all are ≥ 0 but `active`, a change of
 * the gauge. The arrays are reused for the next batch.
 */
export interface PairBatch {
  readonly count: number;
  readonly slot: Uint32Array;
  readonly generation: Uint32Array;
  readonly values: Float64Array;
  readonly stride: number;
  /** Kernel time of the sweep. */
  readonly timeNs: number;
  readonly source: PairSource;
  /**
   * Totals of slots that earlier agents recycled, by the labels they remembered: once, in the first batch after a start.
   * undefined: of workloads that nothing was remembered of any more.
   */
  readonly restored?: readonly { readonly labels: string | undefined; readonly values: Float64Array }[];
}

export type ConnectionEvent = 'open' | 'close' | 'fail';

export type CloseReason = 'normal' | 'peer_reset' | 'local_reset' | 'timeout';

/** One connection's open, close or failure. The source is the ring's `struct record` (bpf/record.h). */
export interface ConnectionRecord {
  readonly event: ConnectionEvent;
  /** Sequence part of tcpledger.connection.id, unique within a boot: a number, or in decimal where that is not exact. */
  readonly connectionId: number | string;
  /** The slot that counted it, in that generation: its labels are this record's labels. */
  readonly slot: number;
  readonly generation: number;
  readonly role: Role;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** What the application dialled, where a load balancer on the socket replaced it by `remotePort`; else 0. */
  readonly dialledPort: number;
  /** True if the connection is older than the agent: openedNs is then when it was adopted. */
  readonly adopted: boolean;
  /** Kernel time of the event (the close, the failure, the establishment). */
  readonly timeNs: number;
  /** SYN sent (source) or handshake complete (destination). */
  readonly openedNs: number;
  /** 0 if never. */
  readonly establishedNs: number;
  /** Payload, local view. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Only on close. */
  readonly closeReason: CloseReason | undefined;
  /** sk_err at the failure; 0 where the application gave up (then errorType is aborted or no_local_port). */
  readonly errno: number;
  /** Only on fail: telemetry.md §2, error.type. */
  readonly errorType: string | undefined;
  readonly smoothedRttUs: number;
  /** 0 when never measured. */
  readonly minRttUs: number;
  readonly retransmits: number;
  readonly lost: number;
  readonly segmentsSent: number;
  readonly segmentsReceived: number;
  /** Of the process that connected or listened; 0 and '' when not known. */
  readonly pid: number;
  readonly executable: string;
}

export interface RecordBatch {
  readonly records: readonly ConnectionRecord[];
  readonly source: PairSource;
}
