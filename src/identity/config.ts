/** The section of the identity processor: who names the ends, and for how long what is waited for and kept. */
import {
  boolean,
  described,
  duration,
  type Infer,
  listOf,
  object,
  oneOf,
  optional,
  refine,
  type Schema,
  withDefault,
} from '../collector/schema.ts';
import type { SourceType } from './source.ts';
import { SOURCE_TYPES } from './sources/registry.ts';

const TYPES = Object.keys(SOURCE_TYPES);

const sections = Object.fromEntries(
  Object.values(SOURCE_TYPES).map(({ type, description, schema }) => [type, described(description, optional(schema))]),
) as Record<string, Schema<unknown>>;

/** A section may be left out where each of its keys may. */
const hasDefaults = ({ schema }: SourceType): boolean => schema.absent !== undefined;

export const identitySchema = refine(
  object({
    sources: described(
      'Who names the ends, the first match wins',
      withDefault(listOf(oneOf(TYPES), { nonEmpty: true, unique: true }), '[host]'),
    ),
    resolve_timeout: described(
      'How long a connection waits for a name before it is unknown',
      withDefault(duration({ min: '0s', max: '1h' }), '5s'),
    ),
    series_ttl: described(
      'How long a series outlives the end of its workload',
      withDefault(duration({ min: '1s' }), '15m'),
    ),
    conntrack: described(
      'Ask connection tracking, where there is any, which backend of a service each logged connection met',
      withDefault(boolean(), 'true'),
    ),
    ...sections,
  }),
  (config, wrong) => {
    for (const source of Object.values(SOURCE_TYPES)) {
      const { type } = source;
      const listed = config.sources.includes(type);
      const section = sectionOf(config, type);
      if (listed && section === undefined && !hasDefaults(source))
        wrong(type, `missing. The source ${type} needs its section.`);
      if (!listed && section !== undefined)
        wrong(type, `the source ${type} is not in sources. List it there, or take the section away.`);
    }
  },
);

export type IdentityConfig = Infer<typeof identitySchema>;

export interface ConfiguredSource {
  readonly type: SourceType;
  /** Its section; where that is left out, its defaults. */
  readonly config: unknown;
}

/** In the order in which they answer. */
export function configuredSources(config: IdentityConfig): readonly ConfiguredSource[] {
  return config.sources.map((name) => {
    const type = SOURCE_TYPES[name]!;
    return { type, config: sectionOf(config, name) ?? type.schema.parse(undefined, name, () => {}) };
  });
}

const sectionOf = (config: object, type: string): unknown => (config as Readonly<Record<string, unknown>>)[type];
