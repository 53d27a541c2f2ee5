/** The mapped `struct state` (bpf/state.h): switches for the kernel half, its counters of drops and errors. */
import type { Layout } from './btf.ts';

/** enum operation of bpf/state.h: label values of tcpledger_kernel_errors_total. */
export const KERNEL_OPERATIONS = [
  'conns_update',
  'index_update',
  'slot_lookup',
  'spare_push',
  'owners_update',
  'listeners_update',
  'sock_cast',
  'sock_read',
  'conns_delete',
  'close_missed',
  'dial_missed',
] as const;

const RECORD_BITS = { open: 1, close: 2, fail: 4 } as const;

export interface KernelState {
  setByExecutable(on: boolean): void;
  /** The hooked programs do nothing until they are all attached, and from when the first is taken off. */
  setCounting(on: boolean): void;
  /** Which records go into the ring. */
  setRecords(events: readonly (keyof typeof RECORD_BITS)[]): void;
  recordsDropped(): number;
  overflow(kind: 'coarse' | 'unattributed'): number;
  errors(operation: (typeof KERNEL_OPERATIONS)[number]): number;
  /** Elements that the last settle saw. */
  entries(map: 'conns' | 'listeners'): number;
  /** Connects that the last settle has listed for tcpledger_fail. */
  silentConnects(): number;
}

export function openKernelState(memory: ArrayBuffer, layout: Layout): KernelState {
  const view = new DataView(memory);
  const counter = (offset: number) => Number(view.getBigUint64(offset, true));
  const errors = layout.offset('errors');
  return {
    setByExecutable: (on) => view.setUint32(layout.offset('by_executable'), on ? 1 : 0, true),
    setCounting: (on) => view.setUint32(layout.offset('counting'), on ? 1 : 0, true),
    setRecords(events) {
      const bits = events.reduce((sum, event) => sum | RECORD_BITS[event], 0);
      view.setUint32(layout.offset('record_events'), bits, true);
    },
    recordsDropped: () => counter(layout.offset('records_dropped')),
    overflow: (kind) => counter(layout.offset(`overflow_${kind}`)),
    errors: (operation) => counter(errors + 8 * KERNEL_OPERATIONS.indexOf(operation)),
    entries: (map) => counter(layout.offset(`${map}_seen`)),
    silentConnects: () => view.getUint32(layout.offset('silent'), true),
  };
}
