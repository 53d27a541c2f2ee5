/** Tries each identity source that is configured: whether it can be reached, and what it would tell. */
import type { ResolvedConfig } from '../../collector/config/resolved.ts';
import { type ConfiguredSource, configuredSources, type IdentityConfig } from '../../identity/config.ts';
import type { Finding } from './finding.ts';

/** Sources that may know the UIDs of pods. */
const KNOWING_PODS: ReadonlySet<string> = new Set(['file', 'kubernetes']);

export async function identitySources(config: ResolvedConfig): Promise<readonly Finding[]> {
  return Promise.all(
    sourcesOf(config).map(async ({ processor, type, config: section }): Promise<Finding> => {
      const { ok, text: detail, fatal } = await type.describe(section);
      // What else a source lacks the agent waits for, with less to tell.
      const kind: Partial<Finding> = fatal ? { code: 'TCPL_E_CONFIG' } : { optional: true };
      return { feature: `${processor}: ${type.type}`, ok, detail, ...kind };
    }),
  );
}

export const knowsPods = (config: ResolvedConfig): boolean =>
  sourcesOf(config).some(({ type }) => KNOWING_PODS.has(type.type));

export const asksConntrack = (config: ResolvedConfig): boolean =>
  processorsOf(config).some(({ section }) => section.conntrack);

/** With the ids of their processors. */
function sourcesOf(config: ResolvedConfig): (ConfiguredSource & { readonly processor: string })[] {
  return processorsOf(config).flatMap(({ id, section }) =>
    configuredSources(section).map((source) => ({ processor: id, ...source })),
  );
}

const processorsOf = (config: ResolvedConfig) =>
  config.processors
    .filter(({ factory }) => factory.type === 'identity')
    .map(({ id, config: section }) => ({ id, section: section as IdentityConfig }));
