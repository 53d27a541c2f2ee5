/** The file's top level → component definitions and pipeline definitions, each still with its place in the file. */
import { isMap, isSeq, type Node, type YAMLMap } from 'yaml';
import type { Signal } from '../component.ts';
import type { Level } from '../logger.ts';
import { child, joined, object } from '../schema/composites.ts';
import { suggestion } from '../schema/nearest.ts';
import { found, isAbsent, quote, sourceOf, textOf } from '../schema/nodes.ts';
import { withDefault } from '../schema/presence.ts';
import { COMPONENT_ID, oneOf } from '../schema/scalars.ts';
import type { Report } from '../schema/types.ts';
import { findReferences, type Reference } from './references.ts';
import { type AnyFactory, type Factories, KINDS, type Kind, SECTIONS } from './resolved.ts';

export interface ComponentDefinition {
  readonly kind: Kind;
  readonly id: string;
  readonly path: string;
  /** The id in the file. */
  readonly node: Node;
  /** undefined when the type is not known (reported already). */
  readonly factory: AnyFactory | undefined;
  readonly config: unknown;
  readonly references: readonly Reference[];
}

export interface PipelineDefinition {
  readonly id: string;
  readonly signal: Signal;
  readonly path: string;
  readonly node: Node;
  /** undefined when the list itself is wrong (reported already). */
  readonly receivers: readonly Reference[] | undefined;
  readonly processors: readonly Reference[] | undefined;
  readonly exporters: readonly Reference[] | undefined;
}

export interface Definitions {
  readonly components: Readonly<Record<Kind, ReadonlyMap<string, ComponentDefinition>>>;
  /** Sections of the wrong type (reported already): what they define is not known. */
  readonly unreadable: ReadonlySet<Kind>;
  readonly pipelines: readonly PipelineDefinition[];
  readonly extensions: readonly Reference[];
  readonly logLevel: Level;
}

const TOP_KEYS = [...Object.values(SECTIONS), 'service'];
const SIGNALS: readonly Signal[] = ['metrics', 'logs'];

const TELEMETRY = object({
  logs: object({ level: withDefault(oneOf<Level>(['debug', 'info', 'warn', 'error']), 'info') }),
});

export function readDefinitions(root: YAMLMap, factories: Factories, report: Report): Definitions {
  reportUnknownKeys(root, '', TOP_KEYS, report);
  const components = Object.fromEntries(
    KINDS.map((kind) => [kind, readComponents(root, kind, factories, report)]),
  ) as unknown as Definitions['components'];
  const service = asMap(
    child(root, 'service'),
    'service',
    'a map with the keys extensions, telemetry, pipelines',
    report,
  );
  if (isAbsent(child(root, 'service'))) {
    report('service', keyNode(root, 'service') ?? root, 'missing. Required: service.pipelines, which says what runs.');
  }
  if (service !== undefined) reportUnknownKeys(service, 'service', ['extensions', 'telemetry', 'pipelines'], report);
  return {
    components,
    unreadable: new Set(KINDS.filter((kind) => isUnreadable(child(root, SECTIONS[kind])))),
    pipelines: service === undefined ? [] : readPipelines(service, report),
    extensions: service === undefined ? [] : (readIds(service, 'service', 'extensions', report) ?? []),
    logLevel: TELEMETRY.parse(child(service, 'telemetry'), 'service.telemetry', report).logs.level,
  };
}

function readComponents(root: YAMLMap, kind: Kind, factories: Factories, report: Report) {
  const section = SECTIONS[kind];
  const map = asMap(child(root, section), section, `a map from the ids of ${section} to their sections`, report);
  const definitions = new Map<string, ComponentDefinition>();
  for (const pair of map?.items ?? []) {
    const node = pair.key as Node;
    const id = sourceOf(node) ?? '';
    const path = joined(section, id);
    const factory = COMPONENT_ID.test(id) ? findFactory(id, kind, factories, path, node, report) : undefined;
    if (!COMPONENT_ID.test(id))
      report(path, node, `found the id ${quote(id)}. Allowed: type or type/name, as otlp_http/eu.`);
    const value = (pair.value as Node | null) ?? undefined;
    const config = factory?.schema.parse(value, path, (at, place, message) => report(at, place ?? node, message));
    const references = factory === undefined ? [] : findReferences(factory.schema, value, path);
    definitions.set(id, { kind, id, path, node, factory, config, references });
  }
  return definitions;
}

function findFactory(id: string, kind: Kind, factories: Factories, path: string, node: Node, report: Report) {
  const type = id.split('/', 1)[0]!;
  const section = SECTIONS[kind];
  const known: readonly AnyFactory[] = factories[section];
  const factory = known.find((candidate) => candidate.type === type);
  if (factory !== undefined) return factory;
  const types = known.map((candidate) => candidate.type);
  const otherKind = KINDS.find((other) => factories[SECTIONS[other]].some((candidate) => candidate.type === type));
  const hint = otherKind === undefined ? suggestion(type, types) : ` It belongs under ${SECTIONS[otherKind]}.`;
  const list = types.length === 0 ? `This build has no ${section}.` : `Known: ${types.join(', ')}.`;
  report(path, node, `unknown ${kind} type ${quote(type)}. ${list}${hint}`);
  return undefined;
}

function readPipelines(service: YAMLMap, report: Report): PipelineDefinition[] {
  const path = 'service.pipelines';
  const expects = 'a map with pipelines named metrics, logs, metrics/NAME or logs/NAME';
  const map = asMap(child(service, 'pipelines'), path, expects, report);
  if (isAbsent(child(service, 'pipelines')) || map?.items.length === 0) {
    report(path, keyNode(service, 'pipelines') ?? service, `missing. Required: at least one pipeline, ${expects}.`);
  }
  return (map?.items ?? []).flatMap((pair) => {
    const node = pair.key as Node;
    const id = sourceOf(node) ?? '';
    const pipelinePath = joined(path, id);
    const signal = SIGNALS.find((known) => known === id.split('/', 1)[0]);
    if (signal === undefined || !COMPONENT_ID.test(id)) {
      report(
        pipelinePath,
        node,
        `found the pipeline id ${quote(id)}. Allowed: metrics, logs, metrics/NAME, logs/NAME.${suggestion(id, SIGNALS)}`,
      );
      // Its components still count as used: one mistake is enough.
    }
    return [
      readPipeline(
        pair.value as Node | undefined,
        { id, signal: signal ?? 'metrics', path: pipelinePath, node },
        report,
      ),
    ];
  });
}

type PipelineHead = Pick<PipelineDefinition, 'id' | 'signal' | 'path' | 'node'>;

function readPipeline(value: Node | undefined, head: PipelineHead, report: Report): PipelineDefinition {
  const keys = ['receivers', 'processors', 'exporters'];
  const place: Report = (path, node, message) => report(path, node ?? head.node, message);
  const map = asMap(value, head.path, `a map with the keys ${keys.join(', ')}`, place);
  if (map !== undefined) reportUnknownKeys(map, head.path, keys, report);
  const wrong = map === undefined && !isAbsent(value);
  const ids = (key: string, required: boolean) => {
    const list = map === undefined ? [] : readIds(map, head.path, key, report);
    if (required && !wrong && list?.length === 0) {
      const at = (map === undefined ? undefined : keyNode(map, key)) ?? head.node;
      report(joined(head.path, key), at, `missing. Required: at least one of the ${key} defined above.`);
    }
    return wrong ? undefined : list;
  };
  return {
    ...head,
    receivers: ids('receivers', true),
    processors: ids('processors', false),
    exporters: ids('exporters', true),
  };
}

/** A list of ids, each with its place; an absent list is empty, a wrong one undefined. */
function readIds(map: YAMLMap, parentPath: string, key: string, report: Report): Reference[] | undefined {
  const path = joined(parentPath, key);
  const node = child(map, key);
  if (isAbsent(node)) return [];
  if (!isSeq(node)) {
    const text = sourceOf(node);
    const hint = text === undefined ? '' : ` A list of one is written [${text}].`;
    report(path, node, `found ${found(node)}. Allowed: a list of ids.${hint}`);
    return undefined;
  }
  return node.items.flatMap((item, index) => {
    const itemNode = (item as Node | null) ?? undefined;
    const id = isAbsent(itemNode) ? undefined : textOf(itemNode);
    if (id !== undefined) return [{ id, path: `${path}[${index}]`, node: item as Node }];
    report(
      `${path}[${index}]`,
      itemNode ?? node,
      `found ${found(itemNode)}. Allowed: an id, as otlp_http or otlp_http/eu.`,
    );
    return [];
  });
}

const isUnreadable = (node: Node | undefined) => !isAbsent(node) && !isMap(node);

function asMap(node: Node | undefined, path: string, expects: string, report: Report): YAMLMap | undefined {
  if (isAbsent(node)) return undefined;
  if (isMap(node)) return node;
  report(path, node, `found ${found(node)}. Allowed: ${expects}.`);
  return undefined;
}

const keyNode = (map: YAMLMap, key: string): Node | undefined =>
  map.items.find((pair) => sourceOf(pair.key as Node) === key)?.key as Node | undefined;

function reportUnknownKeys(map: YAMLMap, path: string, known: readonly string[], report: Report): void {
  for (const pair of map.items) {
    const node = pair.key as Node;
    const key = sourceOf(node) ?? '';
    if (known.includes(key)) continue;
    report(
      joined(path, key),
      node,
      `unknown key ${quote(key)}. Allowed: ${known.join(', ')}.${suggestion(key, known)}`,
    );
  }
}
