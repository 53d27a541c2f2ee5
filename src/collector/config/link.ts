/** Whether the parts fit together: every id defined and used, every signal and every kind of data understood. */
import type { DataKind } from '../component.ts';
import { suggestion } from '../schema/nearest.ts';
import { quote } from '../schema/nodes.ts';
import type { Report } from '../schema/types.ts';
import type { Reference } from './references.ts';
import { type Factories, KINDS, type Kind, SECTIONS } from './resolved.ts';
import type { ComponentDefinition, Definitions, PipelineDefinition } from './sections.ts';

const PIPELINE_KINDS = ['receiver', 'processor', 'exporter'] as const;

const DATA_WORDS: Readonly<Record<DataKind, string>> = {
  connections: 'connections without names',
  identified: 'connections with names',
};

export function checkLinks(definitions: Definitions, factories: Factories, report: Report): void {
  const used = new Set<ComponentDefinition>();
  const resolve = (kind: Kind, reference: Reference): ComponentDefinition | undefined => {
    const definition = definitions.components[kind].get(reference.id);
    if (definition === undefined) reportUndefined(kind, reference, definitions, report);
    else used.add(definition);
    return definition;
  };
  for (const pipeline of definitions.pipelines) {
    const members = PIPELINE_KINDS.map((kind) =>
      distinct(pipeline[SECTIONS[kind]] ?? [], report).flatMap((reference) => {
        const definition = resolve(kind, reference);
        return definition === undefined ? [] : [{ reference, definition }];
      }),
    );
    for (const member of members.flat()) checkSignal(member, pipeline, factories, report);
    checkData(members as unknown as Members, pipeline, definitions, factories, report);
  }
  for (const reference of distinct(definitions.extensions, report)) resolve('extension', reference);
  for (const kind of KINDS) {
    for (const { references } of definitions.components[kind].values()) {
      for (const reference of references) resolve('extension', reference);
    }
  }
  reportUnused(used, definitions, report);
}

/** Not where another mistake is the reason: a type that is not known, a pipeline that cannot be read, no pipeline at all. */
function reportUnused(used: ReadonlySet<ComponentDefinition>, definitions: Definitions, report: Report): void {
  const { pipelines, components } = definitions;
  for (const kind of KINDS) {
    const unreadable = kind !== 'extension' && pipelines.some((pipeline) => pipeline[SECTIONS[kind]] === undefined);
    if (unreadable || pipelines.length === 0) continue;
    for (const definition of components[kind].values()) {
      if (used.has(definition) || definition.factory === undefined) continue;
      report(definition.path, definition.node, unusedText(definition, pipelines));
    }
  }
}

interface Member {
  readonly reference: Reference;
  readonly definition: ComponentDefinition;
}

type Members = readonly [receivers: readonly Member[], processors: readonly Member[], exporters: readonly Member[]];

function distinct(references: readonly Reference[], report: Report): Reference[] {
  const seen = new Set<string>();
  return references.filter(({ id, path, node }) => {
    if (!seen.has(id)) return seen.add(id);
    report(path, node, `${quote(id)} is in this list already. Name each once.`);
    return false;
  });
}

function reportUndefined(kind: Kind, { id, path, node }: Reference, definitions: Definitions, report: Report): void {
  if (definitions.unreadable.has(kind)) return;
  const defined = [...definitions.components[kind].keys()];
  const elsewhere = KINDS.find((other) => other !== kind && definitions.components[other].has(id));
  const list = defined.length === 0 ? `No ${SECTIONS[kind]} are defined.` : `Defined: ${defined.join(', ')}.`;
  const hint = elsewhere === undefined ? suggestion(id, defined) : ` ${id} is defined under ${SECTIONS[elsewhere]}.`;
  report(path, node, `names the ${kind} ${quote(id)}, which is not defined under ${SECTIONS[kind]}. ${list}${hint}`);
}

function unusedText({ kind, id }: ComponentDefinition, pipelines: readonly PipelineDefinition[]): string {
  if (kind === 'extension') {
    return `the extension ${quote(id)} is defined but not used. List it in service.extensions, name it where it is needed (as storage: ${id}), or remove it.`;
  }
  const ids = pipelines.map((pipeline) => pipeline.id).join(', ');
  return `the ${kind} ${quote(id)} is defined but no pipeline uses it. Add it to a pipeline (${ids}), or remove it.`;
}

function checkSignal(
  { reference, definition }: Member,
  { signal }: PipelineDefinition,
  factories: Factories,
  report: Report,
) {
  const { factory, kind } = definition;
  if (factory === undefined || factory.kind === 'extension' || factory.signals.includes(signal)) return;
  const section = SECTIONS[kind];
  const able = factories[section].filter((other) => other.kind !== 'extension' && other.signals.includes(signal));
  const types = able.map((other) => other.type).join(', ') || 'none of this build';
  report(
    reference.path,
    reference.node,
    `the ${kind} ${quote(reference.id)} does ${factory.signals.join(' and ')} only, and this is a pipeline of ${signal}. For ${signal} the ${section} are: ${types}.`,
  );
}

/** Follows the kind of data down the pipeline; after a component that is not known it cannot be followed. */
function checkData(
  [receivers, processors, exporters]: Members,
  pipeline: PipelineDefinition,
  definitions: Definitions,
  factories: Factories,
  report: Report,
): void {
  const steps: { member: Member; accepts: DataKind; gets: DataKind; from: string }[] = [];
  for (const { definition } of receivers) {
    // One that cannot do the signal has been told about, and hands nothing on.
    if (definition.factory?.kind !== 'receiver' || !definition.factory.signals.includes(pipeline.signal)) continue;
    let gets: DataKind = definition.factory.produces;
    let from = definition.id;
    let known = true;
    for (const member of processors) {
      const { factory } = member.definition;
      known &&= factory?.kind === 'processor';
      if (!known || factory?.kind !== 'processor') break;
      steps.push({ member, accepts: factory.accepts, gets, from });
      gets = factory.produces;
      from = member.definition.id;
    }
    for (const member of known ? exporters : []) {
      const { factory } = member.definition;
      if (factory?.kind === 'exporter') steps.push({ member, accepts: factory.accepts, gets, from });
    }
  }
  const told = new Set<Member>();
  for (const { member, accepts, gets, from } of steps) {
    if (accepts === gets || told.has(member)) continue;
    told.add(member);
    const { id, path, node } = member.reference;
    const what = `the ${member.definition.kind} ${quote(id)} takes ${DATA_WORDS[accepts]} and would get ${DATA_WORDS[gets]} from ${quote(from)}.`;
    report(path, node, `${what} ${mend(accepts, gets, pipeline, definitions, factories)}`);
  }
}

function mend(
  accepts: DataKind,
  gets: DataKind,
  pipeline: PipelineDefinition,
  definitions: Definitions,
  factories: Factories,
): string {
  const bridge = factories.processors.find((factory) => factory.accepts === gets && factory.produces === accepts);
  if (bridge === undefined)
    return 'No processor of this build turns the one into the other: take it out of this pipeline.';
  const defined = [...definitions.components.processor.values()].find((definition) => definition.factory === bridge);
  const define = defined === undefined ? `define ${bridge.type} under processors and ` : '';
  const add = `add ${defined?.id ?? bridge.type} to ${pipeline.path}.processors`;
  return `${(define + add).replace(/^./, (first) => first.toUpperCase())}.`;
}
