/** Reads one version of a workload file, whole or not at all. */
import { readFile } from 'node:fs/promises';
import { TcpledgerError } from '../../collector/errors.ts';
import { suggestion } from '../../collector/schema/nearest.ts';
import type { ServiceObject } from '../objects.ts';
import { createBreather } from '../slices.ts';
import { type FileWorkload, readService, readWorkload } from './file-layout.ts';
import { readSliced, type Section, type SlicedDocument } from './sliced-yaml.ts';

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
  const breathe = createBreather();
  const document = await readSliced(text, breathe);
  const mistakes = new Mistakes(path, document);
  for (const { offset, message } of document.mistakes) mistakes.add(offset, '', message);
  const workloads: FileWorkload[] = [];
  const services: ServiceObject[] = [];
  for (const section of document.sections) {
    if (section.key === 'workloads') await readList(section, readWorkload, workloads, mistakes, breathe);
    else if (section.key === 'services') await readList(section, readService, services, mistakes, breathe);
    else if (section.key !== 'policies') {
      const hint = suggestion(section.key, SECTIONS);
      mistakes.add(section.keyNode.range?.[0], section.key, `unknown key. Allowed: ${SECTIONS.join(', ')}.${hint}`);
    }
  }
  mistakes.throwIfAny();
  refuseTwice(workloads, 'uid', (workload) => workload.uid, path);
  refuseTwice(services, 'namespace/hostname', (service) => service.key, path);
  return { workloads, services };
}

async function readList<T>(
  section: Section,
  read: typeof readWorkload | typeof readService,
  into: T[],
  mistakes: Mistakes,
  breathe: () => Promise<void> | undefined,
): Promise<void> {
  if (!section.items) {
    const empty = section.value === undefined || (section.value as { value?: unknown }).value === null;
    if (!empty) mistakes.add(section.value?.range?.[0], section.key, 'found no list. Allowed: a list.');
    return;
  }
  let index = 0;
  for (const compose of section.items) {
    const path = `${section.key}[${index++}]`;
    const { node, mistakes: syntax } = compose();
    for (const { offset, message } of syntax) mistakes.add(offset, path, message);
    const item = read(node, path, (at, where, message) => mistakes.add((where ?? node)?.range?.[0], at, message));
    into.push(item as T);
    await breathe();
  }
}

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

class Mistakes {
  readonly #file: string;
  readonly #document: SlicedDocument;
  readonly #told: string[] = [];
  #count = 0;

  constructor(file: string, document: SlicedDocument) {
    this.#file = file;
    this.#document = document;
  }

  add(offset: number | undefined, path: string, message: string): void {
    if (++this.#count > TOLD) return;
    const firstLine = message.split('\n', 1)[0]!;
    this.#told.push(`${this.#file}:${this.#document.line(offset ?? 0)}: ${path === '' ? '' : `${path}: `}${firstLine}`);
  }

  throwIfAny(): void {
    if (this.#count === 0) return;
    const more = this.#count > TOLD ? [`and ${this.#count - TOLD} more`] : [];
    throw new TcpledgerError('TCPL_E_CONFIG', [...this.#told, ...more].join('\n'));
  }
}
