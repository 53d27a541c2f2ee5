import fc from 'fast-check';
import { expect, it } from 'vitest';
import { formatLabels, parseLabels } from '../../src/identity/labels.ts';
import type { LocalContainer, Peers } from '../../src/identity/types.ts';
import {
  UNNAMED_FIELDS,
  WORKLOAD_FIELDS,
  type WorkloadFields,
  WorkloadPool,
} from '../../src/identity/workload-pool.ts';

const pool = new WorkloadPool(() => 0);

const text = fc.string();
const maybe = fc.option(text, { nil: undefined });
const workload = fc
  .record({ name: text, ...Object.fromEntries(WORKLOAD_FIELDS.slice(1).map((field) => [field, maybe])) })
  .map((fields) => pool.intern({ ...UNNAMED_FIELDS, ...fields } as WorkloadFields));
const container: fc.Arbitrary<LocalContainer> = fc.record({ podUid: maybe, containerId: maybe });
const peers: fc.Arbitrary<Peers> = fc
  .record({
    reporter: fc.constantFrom('source' as const, 'destination' as const),
    source: fc.option(workload, { nil: undefined }),
    destination: fc.option(workload, { nil: undefined }),
    service: fc.option(fc.record({ hostname: text, name: text, namespace: maybe }), { nil: undefined }),
    securityPolicy: fc.constantFrom('mutual_tls' as const, 'unknown' as const),
    container: fc.option(container, { nil: undefined }),
  })
  .map(({ container: within, ...rest }) => ({ ...rest, ...(within && { container: within }) }));

it('come back as they were, with the same workloads', () => {
  fc.assert(
    fc.property(peers, (labels) => {
      const read = parseLabels(formatLabels(labels), pool)!;
      expect(read).toEqual(labels);
      expect(read.source).toBe(labels.source);
      expect(read.destination).toBe(labels.destination);
    }),
  );
});

it.each([
  'nonsense',
  '[]',
  '{"version":0,"reporter":"source","securityPolicy":"unknown"}',
  '{"version":1,"reporter":"both","securityPolicy":"unknown"}',
  '{"version":1,"reporter":"source","source":{"name":1},"securityPolicy":"unknown"}',
  '{"version":1,"reporter":"source","service":"s","securityPolicy":"unknown"}',
  '{"version":1,"reporter":"source","container":[1],"securityPolicy":"unknown"}',
  '{"version":1,"reporter":"source","container":{"podUid":1},"securityPolicy":"unknown"}',
  '{"version":1,"reporter":"source","container":{"containerId":{}},"securityPolicy":"unknown"}',
])('are none of ours: %s', (labels) => {
  expect(parseLabels(labels, pool)).toBeUndefined();
});
