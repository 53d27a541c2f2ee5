/** `receivers.ebpf_tcp` of the configuration (config.md). Durations in milliseconds, sizes in bytes. */
import {
  boolean,
  described,
  duration,
  extensionId,
  type Infer,
  integer,
  object,
  refine,
  size,
  string,
  withDefault,
} from '../collector/schema.ts';

const KEYS = object({
  settle_interval: described(
    "How old an open connection's counters may be",
    withDefault(duration({ min: '10ms', max: '5m' }), '5s'),
  ),
  max_pairs: described(
    'Slots for pairs, about 0.5 KiB of kernel memory each; pairs beyond are counted without their remote address, then without either end',
    withDefault(integer({ min: 16, max: 4_194_304 }), '32768'),
  ),
  max_connections: described(
    'Connections tracked at once, about 270 bytes of kernel memory each; those beyond are counted without their ends',
    withDefault(integer({ min: 16, max: 16_777_216 }), '65536'),
  ),
  access_log_buffer: described(
    'Kernel ring for access-log records, a power of two; records that find it full are dropped and counted',
    withDefault(size({ min: '4KiB', max: '1GiB' }), '16MiB'),
  ),
  open_records: described(
    'Also a record (DEBUG) when a connection is established, not only when it has ended or failed',
    withDefault(boolean(), 'false'),
  ),
  loopback: described('Count connections of 127.0.0.0/8 and ::1', withDefault(boolean(), 'true')),
  adopt: described('Take over connections that are older than the agent', withDefault(boolean(), 'true')),
  connect_hooks: described(
    'Also look at what applications dial: needed where a load balancer on the socket (Cilium, Kmesh) replaces service addresses, and for connects that fail without a route',
    withDefault(boolean(), 'true'),
  ),
  pin_path: described(
    'Directory below /sys/fs/bpf that keeps the kernel half counting while the agent is away; empty: nothing stays',
    withDefault(string({ empty: true }), '""'),
  ),
  storage: described(
    'Storage extension that keeps the names of pinned slots and the totals of recycled ones; needs pin_path',
    withDefault(extensionId(), '""'),
  ),
});

export const RECEIVER_SCHEMA = refine(KEYS, (config, wrong) => {
  const bytes = config.access_log_buffer;
  if ((bytes & (bytes - 1)) !== 0) {
    const below = 2 ** Math.floor(Math.log2(bytes));
    wrong('access_log_buffer', `found ${bytes} bytes. Allowed: a power of two, as ${below}B or ${2 * below}B.`);
  }
  if (config.storage !== '' && config.pin_path === '') {
    wrong(
      'storage',
      'has no use without pin_path: what is not pinned ends with the agent. Set pin_path too, or leave storage out.',
    );
  }
  if (config.pin_path !== '' && !config.pin_path.startsWith('/')) {
    wrong('pin_path', `found ${config.pin_path}. Allowed: an absolute path below /sys/fs/bpf, or "" for none.`);
  }
});

export type ReceiverConfig = Infer<typeof RECEIVER_SCHEMA>;
