/** Stopping components against a deadline, the way of the data: who hands on before who takes. */
import type { Kind } from '../config/resolved.ts';
import type { Logger } from '../logger.ts';
import type { Instance } from './instance.ts';

/**
 * Each kind's part of the time that is left when its turn comes. One that hangs uses up its own part only; most is for
 * exporters, which have a network to wait for.
 */
const TURNS: readonly { readonly kind: Kind; readonly share: number }[] = [
  { kind: 'receiver', share: 0.3 },
  { kind: 'processor', share: 0.3 },
  { kind: 'exporter', share: 0.9 },
  { kind: 'extension', share: 1 },
];

/** After the signal a component has this long to resolve before it is left behind. */
const GRACE_MS = 100;

/** `stopped` is told of each when it is done with or left behind. Never rejects: what goes wrong is logged. */
export async function stopInstances(
  instances: readonly Instance[],
  totalMs: number,
  logger: Logger,
  stopped: (instance: Instance) => void,
): Promise<void> {
  const end = performance.now() + totalMs;
  for (const { kind, share } of TURNS) {
    const group = instances.filter((instance) => instance.kind === kind);
    if (group.length === 0) continue;
    await stopGroup(group, Math.max(0, end - performance.now()) * share, logger);
    for (const instance of group) stopped(instance);
  }
}

async function stopGroup(group: readonly Instance[], ms: number, logger: Logger): Promise<void> {
  const deadline = new AbortController();
  const grace = Math.min(GRACE_MS, ms / 4);
  // These timers keep the process alive on purpose: a component that waits for nothing must not end it half-way.
  const abort = setTimeout(() => deadline.abort(), ms - grace);
  let giveUp: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    giveUp = setTimeout(() => resolve('late'), ms);
  });
  await Promise.all(
    group.map(async ({ kind, config, component }) => {
      try {
        const outcome = await Promise.race([stop(component.shutdown.bind(component), deadline.signal), late]);
        if (outcome !== 'late') return;
        logger.error(`The ${kind} ${config.id} did not stop within ${Math.round(ms)} ms; going on without it`);
      } catch (error) {
        logger.error(`Stopping the ${kind} ${config.id} failed: ${messageOf(error)}`);
      }
    }),
  );
  clearTimeout(abort);
  clearTimeout(giveUp);
}

/** A component that throws before it gives a promise is one that rejects. */
async function stop(shutdown: (deadline: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
  await shutdown(signal);
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
