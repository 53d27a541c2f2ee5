/** Tries each identity source that is configured: whether it can be reached, and what it would tell. */
import type { ResolvedConfig } from '../../collector/config/resolved.ts';
import type { IdentityConfig } from '../../identity/processor.ts';
import { SOURCE_TYPES } from '../../identity/sources/registry.ts';
import type { Finding } from './finding.ts';

/** Sources without which the agent does not start; the others it waits for, with less to tell. */
const NEEDED: ReadonlySet<string> = new Set(['file']);

export async function identitySources(config: ResolvedConfig): Promise<readonly Finding[]> {
  const processors = config.processors.filter(({ factory }) => factory.type === 'identity');
  const tries = processors.flatMap(({ id, config: section }) =>
    (section as IdentityConfig).sources.map(async (type): Promise<Finding> => {
      const { ok, text } = await SOURCE_TYPES[type]!.describe((section as Readonly<Record<string, unknown>>)[type]);
      return { feature: `${id}: ${type}`, ok, detail: text, optional: !NEEDED.has(type) };
    }),
  );
  return Promise.all(tries);
}
