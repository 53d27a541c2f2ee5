/** The configuration reference in Markdown, made from the schemas. */
import type { Schema } from '../schema/types.ts';
import { type AnyFactory, type Factories, KINDS, SECTIONS } from './resolved.ts';

export interface ReferenceRow {
  /** Dotted: `tls.ca_file`. */
  readonly key: string;
  readonly expects: string;
  /** YAML text; undefined when the key is required. '' for nothing. */
  readonly absent: string | undefined;
  readonly description: string;
}

/** All keys of a section, those of nested sections with their path. */
export function referenceRows(schema: Schema<unknown>, prefix = ''): ReferenceRow[] {
  if (schema.shape?.kind !== 'object') return [];
  return [...schema.shape.fields].flatMap(([name, field]) => {
    const key = `${prefix}${name}`;
    const nested = referenceRows(field, `${key}.`);
    const own = { key, expects: field.expects, absent: field.absent, description: field.description ?? '' };
    // A section that is there anyway says nothing beyond its keys, but when it has a meaning of its own.
    return nested.length > 0 && field.description === undefined ? nested : [own, ...nested];
  });
}

/** A heading a component type with the table of its keys. */
export function renderReference(factories: Factories): string {
  return KINDS.filter((kind) => factories[SECTIONS[kind]].length > 0)
    .map((kind) => {
      const components = (factories[SECTIONS[kind]] as readonly AnyFactory[]).map(renderComponent);
      return [`## ${SECTIONS[kind]}`, ...components].join('\n\n');
    })
    .join('\n\n')
    .concat('\n');
}

function renderComponent({ type, description, schema }: AnyFactory): string {
  const rows = referenceRows(schema).map(({ key, expects, absent, description: text }) => {
    const fallback = absent === undefined ? 'required' : absent === '' ? '' : `\`${absent}\``;
    return `| \`${key}\` | ${cell(expects)} | ${fallback} | ${cell(text)} |`;
  });
  const table = rows.length === 0 ? ['No keys.'] : ['| key | value | default | |', '|---|---|---|---|', ...rows];
  return [`### \`${type}\``, '', `${description}.`, '', ...table].join('\n');
}

/** A bar would end the cell. */
const cell = (text: string) => text.replaceAll('|', '\\|');
