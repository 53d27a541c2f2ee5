import { describe, expect, test } from 'vitest';
import { type Node, parseDocument } from 'yaml';
import { RECEIVER_SCHEMA, type ReceiverConfig } from '../../src/receiver/config.ts';

function parse(yaml: string): { config: ReceiverConfig; mistakes: string[] } {
  const mistakes: string[] = [];
  const node = parseDocument(yaml).contents as Node | null;
  const config = RECEIVER_SCHEMA.parse(node ?? undefined, 'ebpf_tcp', (path, _node, message) => {
    mistakes.push(`${path}: ${message}`);
  });
  return { config, mistakes };
}

test('the defaults', () => {
  expect(parse('{}')).toEqual({
    config: {
      settle_interval: 5000,
      max_pairs: 32_768,
      max_connections: 65_536,
      access_log_buffer: 16 * 1024 * 1024,
      open_records: false,
      loopback: true,
      adopt: true,
      connect_hooks: true,
      pin_path: '',
      storage: '',
    },
    mistakes: [],
  });
});

test('everything said', () => {
  const { config, mistakes } = parse(
    '{settle_interval: 250ms, max_pairs: 16, max_connections: 16777216, access_log_buffer: 4KiB, open_records: true, loopback: false, adopt: false, connect_hooks: false, pin_path: /sys/fs/bpf/x, storage: file_storage/a}',
  );
  expect(mistakes).toEqual([]);
  expect(config).toMatchObject({
    settle_interval: 250,
    max_pairs: 16,
    max_connections: 16_777_216,
    access_log_buffer: 4096,
    open_records: true,
    loopback: false,
    adopt: false,
    connect_hooks: false,
    pin_path: '/sys/fs/bpf/x',
    storage: 'file_storage/a',
  });
});

describe('what is refused, by the key that is wrong', () => {
  test.for([
    ['settle_interval: 9ms', 'settle_interval'],
    ['settle_interval: 6m', 'settle_interval'],
    ['max_pairs: 15', 'max_pairs'],
    ['max_pairs: 4194305', 'max_pairs'],
    ['max_connections: 1', 'max_connections'],
    ['access_log_buffer: 2KiB', 'access_log_buffer'],
    ['access_log_buffer: 2GiB', 'access_log_buffer'],
    ['open_records: maybe', 'open_records'],
    ['loopback: maybe', 'loopback'],
    ['adopt: 1', 'adopt'],
    ['pin_path: relative/path', 'pin_path'],
    ['karma: 1', 'karma'],
  ] as const)('%s', ([yaml, key]) => {
    const { mistakes } = parse(`{${yaml}}`);
    expect(mistakes).toHaveLength(1);
    expect(mistakes[0]).toContain(key);
  });

  test('a ring that is no power of two, with those beside it', () => {
    const { mistakes } = parse('{access_log_buffer: 5000B}');
    expect(mistakes).toEqual([expect.stringMatching(/access_log_buffer: .*5000 bytes.*power of two.*4096B or 8192B/)]);
    for (const bytes of [4096, 8192, 2 ** 30]) expect(parse(`{access_log_buffer: ${bytes}B}`).mistakes).toEqual([]);
  });

  test('storage without pins has no use', () => {
    expect(parse('{storage: file_storage}').mistakes).toEqual([expect.stringMatching(/storage: .*pin_path/)]);
  });
});
