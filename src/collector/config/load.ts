/** From a file to a configuration, or to all its mistakes. */
import { isMap, LineCounter } from 'yaml';
import { found, isAbsent } from '../schema/nodes.ts';
import { canonicalJson, deepFreeze } from './canonical.ts';
import { parseTree } from './document.ts';
import { type Environment, expandTree } from './expand.ts';
import { checkLinks } from './link.ts';
import { formatMistake, type Mistake, Mistakes } from './mistake.ts';
import { readText } from './read-text.ts';
import type { AnyFactory, ComponentConfig, Factories, Kind, PipelineConfig, ResolvedConfig } from './resolved.ts';
import { type Definitions, readDefinitions } from './sections.ts';

export type LoadResult =
  | { readonly config: ResolvedConfig; readonly mistakes?: undefined }
  | { readonly config?: undefined; readonly mistakes: readonly Mistake[] };

/** Never rejects: a file that cannot be read is a mistake, too. */
export async function loadConfigFile(
  file: string,
  factories: Factories,
  environment: Environment,
): Promise<LoadResult> {
  const result = await readText(file);
  return 'mistake' in result ? { mistakes: [result.mistake] } : parseConfig(result.text, factories, environment);
}

/** What `tcpledger validate` prints: a line a mistake, none when the file is right. */
export async function validateConfigFile(
  file: string,
  factories: Factories,
  environment: Environment,
): Promise<string[]> {
  const { mistakes = [] } = await loadConfigFile(file, factories, environment);
  return mistakes.map((mistake) => formatMistake(file, mistake));
}

export function parseConfig(text: string, factories: Factories, environment: Environment): LoadResult {
  const lines = new LineCounter();
  const mistakes = new Mistakes(lines);
  const tree = parseTree(text, lines, mistakes);
  if (mistakes.count > 0) return { mistakes: mistakes.sorted() };
  if (isAbsent(tree)) {
    mistakes.at('', 0, 'the file is empty. Required: receivers, exporters and service.pipelines.');
    return { mistakes: mistakes.sorted() };
  }
  const root = expandTree(tree, environment, mistakes.at);
  if (!isMap(root)) {
    mistakes.at(
      '',
      root,
      `found ${found(root)}. Allowed: a map with the keys receivers, processors, exporters, extensions, service.`,
    );
    return { mistakes: mistakes.sorted() };
  }
  const definitions = readDefinitions(root, factories, mistakes.at);
  checkLinks(definitions, factories, mistakes.at);
  return mistakes.count > 0 ? { mistakes: mistakes.sorted() } : { config: deepFreezeConfig(definitions) };
}

function deepFreezeConfig(definitions: Definitions): ResolvedConfig {
  const ids = (list: readonly { id: string }[] | undefined) => (list ?? []).map(({ id }) => id);
  const pipelines = definitions.pipelines.map(
    ({ id, signal, receivers, processors, exporters }): PipelineConfig => ({
      id,
      signal,
      receivers: ids(receivers),
      processors: ids(processors),
      exporters: ids(exporters),
    }),
  );
  const listed = ids(definitions.extensions);
  const referred = [...definitions.components.extension.keys()].filter((id) => !listed.includes(id));
  return freezeAround({
    logLevel: definitions.logLevel,
    receivers: resolved(definitions, 'receiver'),
    processors: resolved(definitions, 'processor'),
    exporters: resolved(definitions, 'exporter'),
    extensions: resolved(definitions, 'extension', [...listed, ...referred]),
    pipelines,
  });
}

function resolved<F extends AnyFactory>(definitions: Definitions, kind: F['kind'] & Kind, order?: readonly string[]) {
  const components = definitions.components[kind];
  return (order ?? [...components.keys()]).map((id): ComponentConfig<F> => {
    const { factory, config, references } = components.get(id)!;
    return {
      id,
      factory: factory as F,
      config: deepFreeze(config),
      canonical: canonicalJson(config),
      references: references.map((reference) => reference.id),
    };
  });
}

/** Freezes the configuration but not the factories in it, which are the program's. */
function freezeAround(config: ResolvedConfig): ResolvedConfig {
  for (const list of [config.receivers, config.processors, config.exporters, config.extensions]) {
    for (const component of list) {
      Object.freeze(component.references);
      Object.freeze(component);
    }
    Object.freeze(list);
  }
  deepFreeze(config.pipelines);
  return Object.freeze(config);
}
