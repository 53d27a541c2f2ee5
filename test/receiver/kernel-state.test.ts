import { expect, test } from 'vitest';
import { KERNEL_OPERATIONS, openKernelState } from '../../src/receiver/kernel-state.ts';
import { FakeKernel } from './fake-kernel.ts';

function opened() {
  const kernel = new FakeKernel();
  return { kernel, state: openKernelState(kernel.state, kernel.layouts.state) };
}

test('the switches', () => {
  const { kernel, state } = opened();
  state.setByExecutable(true);
  state.setRecords(['close', 'fail']);
  expect([kernel.stateWord('by_executable'), kernel.stateWord('record_events')]).toEqual([1, 0b110]);
  state.setByExecutable(false);
  state.setRecords(['open']);
  expect([kernel.stateWord('by_executable'), kernel.stateWord('record_events')]).toEqual([0, 0b001]);
  state.setRecords([]);
  expect(kernel.stateWord('record_events')).toBe(0);
  state.setCounting(true);
  expect(kernel.stateWord('counting')).toBe(1);
  state.setCounting(false);
  expect(kernel.stateWord('counting')).toBe(0);
  expect(kernel.stateWord('next_slot')).toBe(2);
});

test('the counters, beyond 32 bits', () => {
  const { kernel, state } = opened();
  kernel.addState('records_dropped', 2 ** 40 + 1);
  kernel.addState('overflow_coarse', 2);
  kernel.addState('overflow_unattributed', 3);
  kernel.addState('conns_seen', 4);
  kernel.addState('listeners_seen', 5);
  expect(state.recordsDropped()).toBe(2 ** 40 + 1);
  expect([state.overflow('coarse'), state.overflow('unattributed')]).toEqual([2, 3]);
  expect([state.entries('conns'), state.entries('listeners')]).toEqual([4, 5]);
});

test('the errors, each operation by its place in enum operation', () => {
  const { kernel, state } = opened();
  KERNEL_OPERATIONS.forEach((_, i) => {
    kernel.addState('errors', 10 + i, i);
  });
  expect(KERNEL_OPERATIONS.map((operation) => state.errors(operation))).toEqual(
    KERNEL_OPERATIONS.map((_, i) => 10 + i),
  );
  const { state: layout } = kernel.layouts;
  /* as many as enum operation has: the next member begins behind the last */
  expect(layout.offset('conns_seen') - layout.offset('errors')).toBe(8 * KERNEL_OPERATIONS.length);
});
