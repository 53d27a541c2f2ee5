/**
 * Peers as text, for the journal that lets labels survive the agent. Written once a slot, read at the first sight of a
 * slot that an earlier agent labelled and for the totals of slots it recycled.
 */
import type { Role } from '../receiver/types.ts';
import type { LocalContainer, Peers, Service, Workload } from './types.ts';
import { UNNAMED_FIELDS, WORKLOAD_FIELDS, type WorkloadFields, type WorkloadPool } from './workload-pool.ts';

/** Raised when the layout changes; labels of another version are read over, and the slot is named anew. */
const VERSION = 1;

/** The parts of the text, each made once: a flood of new slots has few local ends and few services. */
const TEXTS = new WeakMap<Workload | Service | LocalContainer, string>();

/** JSON, put together by hand from parts that are JSON. */
export function formatLabels({ reporter, source, destination, service, securityPolicy, container }: Peers): string {
  const ends = `${source ? `"source":${partText(source, workloadText)},` : ''}${destination ? `"destination":${partText(destination, workloadText)},` : ''}`;
  const dialled = service ? `"service":${partText(service, serviceText)},` : '';
  const within = container ? `"container":${partText(container, containerText)},` : '';
  return `{"version":${VERSION},"reporter":"${reporter}",${ends}${dialled}${within}"securityPolicy":"${securityPolicy}"}`;
}

function workloadText(workload: Workload): string {
  const { goneSinceMs: _, ...fields } = workload;
  return JSON.stringify(fields);
}

const serviceText = ({ hostname, name, namespace }: Service): string => JSON.stringify({ hostname, name, namespace });

const containerText = ({ podUid, containerId }: LocalContainer): string => JSON.stringify({ podUid, containerId });

function partText<T extends Workload | Service | LocalContainer>(part: T, textOf: (part: T) => string): string {
  let text = TEXTS.get(part);
  if (text === undefined) {
    text = textOf(part);
    TEXTS.set(part, text);
  }
  return text;
}

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
