/** What a new configuration changes in the running one. */
import type { ReceiverFactory } from '../component.ts';
import { changedKeys } from '../config/canonical.ts';
import { type ComponentConfig, KINDS, type Kind, type ResolvedConfig, SECTIONS } from '../config/resolved.ts';

export interface Part {
  readonly kind: Kind;
  readonly config: ComponentConfig;
}

export interface Difference {
  /** The new configuration, but with the old sections of what cannot change without a restart. */
  readonly config: ResolvedConfig;
  /** New sections: of new ids, and of ids whose section (or whose extension) changed. */
  readonly begun: readonly Part[];
  /** Old sections: of ids that are gone, and of those whose section changed. */
  readonly ended: readonly Part[];
  /** What is left as it was although the file says otherwise. */
  readonly warnings: readonly string[];
}

export function compareConfigs(before: ResolvedConfig, after: ResolvedConfig): Difference {
  const warnings: string[] = [];
  const receivers = after.receivers.map((next) => keepReceiver(byId(before.receivers, next.id), next, warnings));
  const kept = receivers.filter((receiver) => byId(before.receivers, receiver.id) === receiver);
  const needed = new Set(kept.flatMap(({ references }) => references));
  const config: ResolvedConfig = Object.freeze({
    ...after,
    receivers: Object.freeze(receivers),
    extensions: Object.freeze(keepExtensions(before, after, needed, warnings)),
  });
  const replacedExtensions = new Set<string>();
  const begun: Part[] = [];
  const ended: Part[] = [];
  // Extensions first: whoever refers to one that is replaced must find the new one, so begins anew, too.
  for (const kind of KINDS.toSorted((a, b) => Number(b === 'extension') - Number(a === 'extension'))) {
    const old: readonly ComponentConfig[] = before[SECTIONS[kind]];
    const current: readonly ComponentConfig[] = config[SECTIONS[kind]];
    for (const next of current) {
      const previous = byId(old, next.id);
      const stays = previous?.canonical === next.canonical && !next.references.some((id) => replacedExtensions.has(id));
      if (stays) continue;
      begun.push({ kind, config: next });
      if (previous === undefined) continue;
      ended.push({ kind, config: previous });
      if (kind === 'extension') replacedExtensions.add(next.id);
    }
    for (const previous of old) if (byId(current, previous.id) === undefined) ended.push({ kind, config: previous });
  }
  return { config, begun, ended, warnings };
}

/** A receiver is never restarted by a reload: it would lose sight of the kernel for a moment. */
function keepReceiver(
  previous: ComponentConfig<ReceiverFactory> | undefined,
  next: ComponentConfig<ReceiverFactory>,
  warnings: string[],
): ComponentConfig<ReceiverFactory> {
  if (previous === undefined) return next;
  if (previous.canonical !== next.canonical) {
    const keys = changedKeys(previous.config, next.config).join(', ');
    warnings.push(
      `receivers.${next.id}: ${keys} changed. A receiver changes only with a restart; it goes on as it was.`,
    );
  }
  return previous;
}

/** An extension that a running receiver holds on to stays with it. */
function keepExtensions(
  before: ResolvedConfig,
  after: ResolvedConfig,
  needed: ReadonlySet<string>,
  warnings: string[],
) {
  const extensions = [...after.extensions];
  for (const id of needed) {
    const previous = byId(before.extensions, id)!;
    const index = extensions.findIndex((extension) => extension.id === id);
    if (index !== -1 && extensions[index]!.canonical === previous.canonical) continue;
    const what = index === -1 ? 'was removed' : 'changed';
    warnings.push(
      `extensions.${id}: ${what}, but a running receiver uses it: restart the agent. It goes on as it was.`,
    );
    if (index === -1) extensions.push(previous);
    else extensions[index] = previous;
  }
  return extensions;
}

function byId<C extends ComponentConfig>(components: readonly C[], id: string): C | undefined {
  return components.find((component) => component.id === id);
}
