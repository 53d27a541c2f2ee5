/**
 * Peers as text, for the journal that lets labels survive the agent. Written once a slot, read at the first sight of a
 * slot that an earlier agent labelled and for the totals of slots it recycled.
 */
import type { Role } from '../receiver/types.ts';
import type { LocalContainer, Peers, Service, Workload } from './types.ts';
import { UNNAMED_FIELDS, WORKLOAD_FIELDS, type WorkloadFields, type WorkloadPool } from './workload-pool.ts';

/** Raised when the layout changes; labels of another version are read over, and the slot is named anew. */
const VERSION = 1;

/** A workload's part of the text, made once: a flood of new slots has few local ends. */
const WORKLOAD_TEXTS = new WeakMap<Workload, string>();

/** JSON, put together by hand from parts that are JSON. */
export function formatLabels({ reporter, source, destination, service, securityPolicy, container }: Peers): string {
  const ends = `${source ? `"source":${workloadText(source)},` : ''}${destination ? `"destination":${workloadText(destination)},` : ''}`;
  const dialled = service ? `"service":${serviceText(service)},` : '';
  const within = container ? `"container":${containerText(container)},` : '';
  return `{"version":${VERSION},"reporter":"${reporter}",${ends}${dialled}${within}"securityPolicy":"${securityPolicy}"}`;
}

function workloadText(workload: Workload): string {
  let text = WORKLOAD_TEXTS.get(workload);
  if (text === undefined) {
    const { goneSinceMs: _, ...fields } = workload;
    text = JSON.stringify(fields);
    WORKLOAD_TEXTS.set(workload, text);
  }
  return text;
}

const serviceText = ({ hostname, name, namespace }: Service): string => JSON.stringify({ hostname, name, namespace });

const containerText = ({ podUid, containerId }: LocalContainer): string => JSON.stringify({ podUid, containerId });

/** undefined if the text is none of ours, whatever it is. */
export function parseLabels(text: string, pool: WorkloadPool): Peers | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || value.version !== VERSION || !isRole(value.reporter)) return undefined;
  const ends = [value.source, value.destination].map((end) => readWorkload(end));
  const service = readService(value.service);
  const container = readContainer(value.container);
  if (ends.includes(null) || service === null || container === null) return undefined;
  const [source, destination] = ends.map((fields) => (fields ? pool.intern(fields) : undefined));
  return {
    reporter: value.reporter,
    source,
    destination,
    service,
    securityPolicy: value.securityPolicy === 'mutual_tls' ? 'mutual_tls' : 'unknown',
    ...(container && { container }),
  };
}

/** undefined: absent; null: malformed. */
function readWorkload(value: unknown): WorkloadFields | undefined | null {
  if (value === undefined) return undefined;
  if (!isRecord(value) || typeof value.name !== 'string') return null;
  const fields: Record<string, string | undefined> = {};
  for (const field of WORKLOAD_FIELDS) {
    const text = value[field];
    if (text !== undefined && typeof text !== 'string') return null;
    fields[field] = text;
  }
  return { ...UNNAMED_FIELDS, ...fields, name: value.name };
}

function readService(value: unknown): Service | undefined | null {
  if (value === undefined) return undefined;
  if (!isRecord(value)) return null;
  const { hostname, name, namespace } = value;
  if (typeof hostname !== 'string' || typeof name !== 'string') return null;
  if (namespace !== undefined && typeof namespace !== 'string') return null;
  return { hostname, name, namespace };
}

function readContainer(value: unknown): LocalContainer | undefined | null {
  if (value === undefined) return undefined;
  if (!isRecord(value)) return null;
  const { podUid, containerId } = value;
  if (podUid !== undefined && typeof podUid !== 'string') return null;
  if (containerId !== undefined && typeof containerId !== 'string') return null;
  return { podUid, containerId };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isRole = (value: unknown): value is Role => value === 'source' || value === 'destination';
