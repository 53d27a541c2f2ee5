/** docs/configuration.md, made from the schemas of the components. */
import { FACTORIES } from '../../src/cli/components.ts';
import type { AnyFactory } from '../../src/collector/config/resolved.ts';
import type { Schema } from '../../src/collector/schema.ts';

const SECTIONS = ['receivers', 'processors', 'exporters', 'extensions'] as const;

export function configurationPage(): string {
  return [
    '# Configuration',
    '',
    'Made from the schemas of the components by `npm run docs`. The grammar is the OpenTelemetry Collector\'s: sections of',
    'components with ids `type` or `type/name`, and `service.pipelines` that connect them; `${env:NAME:-default}` in any',
    'value; durations as `5s`, `250ms`, `1h30m`; sizes as `16MiB`. Unknown keys, unused components and wrong types are',
    'errors with their line. SIGHUP or a changed file reloads; a configuration with mistakes is reported and the old one',
    'stays.',
    '',
    ...SECTIONS.flatMap((section) => FACTORIES[section].flatMap((factory) => componentPart(section, factory))),
    '## service',
    '',
    '| key | default | allowed | |',
    '|---|---|---|---|',
    "| `telemetry.logs.level` | `info` | one of debug, info, warn, error | The agent's own log on stderr |",
    '| `extensions` | `[]` | a list of ids | Started before the pipelines; one that a component names is started too |',
    '| `pipelines.<signal>` or `pipelines.<signal>/<name>` | required | `metrics` or `logs` | `receivers`, `processors` (in order) and `exporters`, each a list of ids |',
    '',
  ].join('\n');
}

function componentPart(section: string, factory: AnyFactory): string[] {
  const rows = keys(factory.schema, '');
  return [
    `## ${section}: ${factory.type}`,
    '',
    `${factory.description}.`,
    '',
    ...(rows.length === 0 ? ['No keys.'] : ['| key | default | allowed | |', '|---|---|---|---|', ...rows]),
    '',
  ];
}

/** A row for each key that holds a value; sections show only by their keys' paths. */
function keys(schema: Schema<unknown>, path: string): string[] {
  if (schema.shape?.kind === 'object') {
    return [...schema.shape.fields].flatMap(([key, field]) => keys(field, path === '' ? key : `${path}.${key}`));
  }
  const absent = schema.absent === undefined ? 'required' : schema.absent === '' ? '' : `\`${schema.absent}\``;
  return [`| \`${path}\` | ${absent} | ${cell(schema.expects)} | ${cell(schema.description ?? '')} |`];
}

const cell = (text: string) => text.replaceAll('|', '\\|');
