/** Plays scenarios: each in each of its places, with addresses of its own, several at a time. */
import type { TestWorkload } from '../support/identity-file.ts';
import { LINK_LOCAL, type Link, linkedNamespaces, loopbackNamespace, type Namespace } from '../support/namespace.ts';
import type { EndReport } from '../support/reply.ts';
import { LINK_SCOPE, type Place } from './places.ts';
import { bytesOf, type EndExpectation, type Scenario } from './scenario.ts';
import { Stage } from './stage.ts';

const ROUNDS = 7;
/** Most of a play is waiting for the kernel's timers and for the other process. */
const AT_ONCE = 8;

/** A play that hangs is told by its name instead of by the end of all. */
const HANGS_AFTER_MS = 120_000;

export interface Case {
  readonly name: string;
  readonly scenario: Scenario;
  readonly place: Place;
  readonly index: number;
  /** Who the identity file says has the case's addresses. */
  readonly client: TestWorkload;
  readonly server: TestWorkload;
}

/** One socket: what the ledger has to say of it. */
export interface ExpectedEnd extends EndExpectation {
  /** `ip:port`, the local socket's view. */
  readonly local: string;
  readonly remote: string;
  readonly sent: number;
  readonly received: number;
  /** What it follows from. */
  readonly report: EndReport;
}

export interface Played {
  readonly ends: readonly ExpectedEnd[];
  readonly missing?: string;
  readonly error?: unknown;
}

export function casesOf(scenarios: readonly Scenario[]): Case[] {
  const cases: Case[] = [];
  for (const scenario of scenarios) {
    for (const place of scenario.places) {
      const index = cases.length + 1;
      cases.push({
        name: `${scenario.name} (${place.name})`,
        scenario,
        place,
        index,
        client: { name: `client-${index}`, ips: [place.clientHost(index)] },
        server: { name: `server-${index}`, ips: [place.serverHost(index)] },
      });
    }
  }
  if (cases.filter(({ place }) => place === LINK_SCOPE).length > 1) {
    throw new Error(`only one case can have ${LINK_LOCAL.client}: its addresses tell a case from the others`);
  }
  return cases;
}

/** Never rejects for a case's sake: what went wrong is in its result. */
export async function playAll(cases: readonly Case[]): Promise<ReadonlyMap<Case, Played>> {
  const link = await linkedNamespaces();
  const loopback = await loopbackNamespace();
  const results = new Map<Case, Played>();
  const queue = [...cases];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      results.set(next, await playCase(next, link, loopback).catch((error: unknown) => ({ ends: [], error })));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  link.remove();
  loopback.remove();
  return results;
}

async function playCase({ scenario, place, index }: Case, link: Link, loopback: Namespace): Promise<Played> {
  const missing = await scenario.missing?.(loopback);
  if (missing !== undefined) return { ends: [], missing };
  if (scenario.isolated === undefined) {
    const [client, server] = place.topology === 'link' ? [link.client, link.server] : [loopback, loopback];
    return play(scenario, place, index, client, server);
  }
  const own = place.topology === 'link' ? await linkedNamespaces() : await ownLoopback();
  try {
    await scenario.isolated(own);
    return await play(scenario, place, index, own.client, own.server);
  } finally {
    own.remove();
  }
}

async function ownLoopback(): Promise<Link> {
  const namespace = await loopbackNamespace();
  return { client: namespace, server: namespace, remove: namespace.remove };
}

async function play(
  scenario: Scenario,
  place: Place,
  index: number,
  client: Namespace,
  server: Namespace,
): Promise<Played> {
  const stage = await Stage.open(place, index, client, server);
  let watchdog: NodeJS.Timeout | undefined;
  const hangs = new Promise<never>((_, reject) => {
    watchdog = setTimeout(() => reject(new Error('the scenario does not come to its end')), HANGS_AFTER_MS);
  });
  try {
    const ends: ExpectedEnd[] = [];
    for (let round = 0; round < (scenario.repeat ?? ROUNDS); round++) {
      const reports = await Promise.race([scenario.play(stage), hangs]);
      for (const [kind, expectation] of Object.entries(scenario.ends)) {
        ends.push(...(reports[kind] ?? []).map((report) => expectedEnd(expectation, report)));
      }
    }
    return { ends };
  } finally {
    clearTimeout(watchdog);
    await stage.close();
  }
}

const expectedEnd = (expectation: EndExpectation, report: EndReport): ExpectedEnd => ({
  ...expectation,
  local: report.local,
  remote: report.remote,
  ...bytesOf(report),
  report,
});
