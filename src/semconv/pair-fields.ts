/**
 * The fields of a pair's slot, in the order in which batches carry them. Names are those of `struct slot` in
 * bpf/pair.h, whose offsets are taken from the object's BTF; units as given. This is the only list on this side.
 */

/**
 * Counters (u64 in the slot). `active` is not in the slot: the reader makes it of the others. Bytes and resets are the
 * local socket's view.
 */
export const PAIR_COUNTERS = [
  'opened', // connections established, and those that failed
  'closed', // established connections that ended
  'failed', // connections that never established
  'adopted', // connections older than the agent
  'active', // change of the number of established connections: opened + adopted - failed - closed
  'sent', // payload bytes
  'received', // payload bytes
  'segments_sent',
  'segments_received',
  'retransmitted',
  'lost',
  'resets_sent',
  'resets_received',
] as const;

/** `error_type` values of failed connects, in the order of `enum connect_error` (bpf/pair.h): the array `errors` of the slot. */
export const CONNECT_ERRORS = [
  'connection_refused',
  'timed_out',
  'host_unreachable',
  'network_unreachable',
  'reset',
  'no_local_port',
  'aborted',
  '_OTHER',
] as const;

/** Histograms: an array of 16 bucket counts and a sum each. Bounds are set into the program before it is loaded. */
export const HISTOGRAM_BUCKETS = 16;

const DURATION_BOUNDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600];
const LATENCY_BOUNDS = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
];

/** In the order of `enum histogram` (bpf/pair.h). Bounds in seconds, 15 each, +Inf is the sixteenth bucket. */
export const PAIR_HISTOGRAMS = [
  { name: 'duration', bounds: DURATION_BOUNDS },
  { name: 'smoothed_rtt', bounds: LATENCY_BOUNDS },
  { name: 'min_rtt', bounds: LATENCY_BOUNDS },
  { name: 'connect', bounds: LATENCY_BOUNDS },
] as const;

export type PairCounter = (typeof PAIR_COUNTERS)[number];
export type ConnectError = (typeof CONNECT_ERRORS)[number];
export type PairHistogram = (typeof PAIR_HISTOGRAMS)[number]['name'];
export type PairField = PairCounter | ConnectError | PairHistogram;

const ERRORS_AT = PAIR_COUNTERS.length;
const HISTOGRAMS_AT = ERRORS_AT + CONNECT_ERRORS.length;

/** Columns of a row in a PairBatch. */
export const PAIR_STRIDE = HISTOGRAMS_AT + PAIR_HISTOGRAMS.length * (HISTOGRAM_BUCKETS + 1);

export const counterColumn = (name: PairCounter): number => PAIR_COUNTERS.indexOf(name);
export const errorColumn = (name: ConnectError): number => ERRORS_AT + CONNECT_ERRORS.indexOf(name);

/** First bucket's column; the 16 buckets (not cumulative) are followed by the sum in nanoseconds. */
export const histogramColumn = (name: PairHistogram): number =>
  HISTOGRAMS_AT + PAIR_HISTOGRAMS.findIndex((h) => h.name === name) * (HISTOGRAM_BUCKETS + 1);
