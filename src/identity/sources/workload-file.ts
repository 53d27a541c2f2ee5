/** Reads one version of a workload file, whole or not at all. */
import { readFile } from 'node:fs/promises';
import { isScalar, isSeq, LineCounter, type Node } from 'yaml';
import { TcpledgerError } from '../../collector/errors.ts';
import { suggestion } from '../../collector/schema/nearest.ts';
import type { Report } from '../../collector/schema.ts';
import type { ServiceObject } from '../objects.ts';
import { breathe } from '../slices.ts';
import { type FileWorkload, readService, readWorkload } from './file-layout.ts';
import { readSliced, type TakeItem } from './sliced-yaml.ts';

export interface WorkloadFile {
  readonly workloads: readonly FileWorkload[];
  readonly services: readonly ServiceObject[];
}

const SECTIONS = ['workloads', 'services', 'policies'];

/** Mistakes told at once; more are counted. */
const TOLD = 10;

/** @throws TcpledgerError TCPL_E_CONFIG that names the file and, for each mistake, its line and key. */
export async function readWorkloadFile(path: string): Promise<WorkloadFile> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new TcpledgerError(
      'TCPL_E_CONFIG',
      `cannot read the workload file ${path} (processors.identity.file.path): ${(error as Error).message}. Create it, or take "file" out of the sources`,
      { cause: error },
    );
  }
  return parseWorkloadFile(text, path);
}

/** @throws as readWorkloadFile. */
export async function parseWorkloadFile(text: string, path: string): Promise<WorkloadFile> {
  const lines = new LineCounter();
  const mistakes = new Mistakes(path, lines);
  const workloads: FileWorkload[] = [];
  const services: ServiceObject[] = [];
  const shared = new SharedServices();
  const takers = new Map([
    ['workloads', takeInto(workloads, (...item) => shared.withShared(readWorkload(...item)), 'workloads', mistakes)],
    ['services', takeInto(services, readService, 'services', mistakes)],
  ]);
  const document = await readSliced(text, lines, breathe, takers);
  await breathe();
  if (document.mistakes.length > 0) {
    const structure = new Mistakes(path, lines);
    for (const { offset, message } of document.mistakes) structure.add(offset, '', message);
    structure.throwIfAny();
  }
  for (const { key, keyNode, value } of document.sections) {
    if (!SECTIONS.includes(key)) {
      const hint = suggestion(key, SECTIONS);
      mistakes.add(keyNode.range?.[0], key, `unknown key. Allowed: ${SECTIONS.join(', ')}.${hint}`);
    } else if (takers.has(key) && !isSeq(value) && !isNothing(value)) {
      mistakes.add(value?.range?.[0], key, 'found no list. Allowed: a list.');
    }
  }
  mistakes.throwIfAny();
  refuseTwice(workloads, 'uid', (workload) => workload.uid, path);
  refuseTwice(services, 'namespace/hostname', (service) => service.key, path);
  return { workloads, services };
}

/** Checks each item of the list at `key` and appends it to `into`. */
function takeInto<T>(
  into: T[],
  read: (node: Node | undefined, path: string, report: Report) => T,
  key: string,
  mistakes: Mistakes,
): TakeItem {
  return (node, syntax) => {
    const path = `${key}[${into.length}]`;
    for (const { offset, message } of syntax) mistakes.add(offset, path, message);
    into.push(read(node, path, (at, where, message) => mistakes.add((where ?? node)?.range?.[0], at, message)));
  };
}

/** `workloads:` without a value. */
const isNothing = (value: Node | undefined) => value === undefined || (isScalar(value) && value.value === null);

function refuseTwice<T>(items: readonly T[], what: string, key: (item: T) => string, path: string): void {
  const seen = new Set<string>();
  for (const item of items) {
    if (seen.has(key(item))) {
      throw new TcpledgerError(
        'TCPL_E_CONFIG',
        `${path}: two items have the ${what} ${JSON.stringify(key(item))}. Give each its own`,
      );
    }
    seen.add(key(item));
  }
}

/** One map of services for all workloads that back the same ones on the same ports: those of a Deployment do. */
class SharedServices {
  readonly #known = new Map<string, FileWorkload['services']>();

  withShared(workload: FileWorkload): FileWorkload {
    const text = JSON.stringify(Array.from(workload.services, ([key, ports]) => [key, ...ports]));
    const services = this.#known.get(text) ?? workload.services;
    this.#known.set(text, services);
    return { ...workload, services };
  }
}

class Mistakes {
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #told: string[] = [];
  #count = 0;

  constructor(file: string, lines: LineCounter) {
    this.#file = file;
    this.#lines = lines;
  }

  add(offset: number | undefined, path: string, message: string): void {
    if (++this.#count > TOLD) return;
    const firstLine = message.split('\n', 1)[0]!;
    this.#told.push(
      `${this.#file}:${this.#lines.linePos(offset ?? 0).line}: ${path === '' ? '' : `${path}: `}${firstLine}`,
    );
  }

  throwIfAny(): void {
    if (this.#count === 0) return;
    const more = this.#count > TOLD ? [`and ${this.#count - TOLD} more`] : [];
    throw new TcpledgerError('TCPL_E_CONFIG', [...this.#told, ...more].join('\n'));
  }
}
