/** Waits for scrapes between which all of the traffic is, so that what Prometheus says of it can be told exactly. */
import { expect } from 'vitest';
import { eventually } from '../../kernel/support/eventually.ts';
import type { Moment } from './answers.ts';
import { type ExpectedSeries, expectedValue, FAMILIES, isStranger, type Labels } from './expected-series.ts';
import type { Account, MeshTraffic } from './mesh-traffic.ts';
import type { Prometheus } from './prometheus.ts';

/** At least as many scrapes as rate() needs to tell what lies before the first of them. */
const SCRAPES = 3;

/** Every series of the mesh as text with its value, in order: what a scrape has to have seen. */
export function seriesTexts(series: readonly ExpectedSeries[], account: Account): string[] {
  return Object.entries(FAMILIES)
    .flatMap(([family, count]) =>
      series.map((each) => seriesText(family, each.labels, expectedValue(each, count, account))),
    )
    .sort();
}

export const seriesText = (family: string, labels: Labels, value: number): string =>
  `${family}${labelsText(labels)} ${value}`;

/** The same for labels in any order. */
export function labelsText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}=${JSON.stringify(text)}`);
  return `{${pairs.sort().join()}}`;
}

/**
 * Rounds of traffic until one fell between two scrapes. All traffic so far must have been on the page before Prometheus
 * began. Rejects if Prometheus has other series of the mesh, or other values, than the oracle.
 */
export async function momentAfterRound(
  prometheus: Prometheus,
  targetLabels: Labels,
  traffic: MeshTraffic,
  series: readonly ExpectedSeries[],
): Promise<Moment> {
  const seen = () => textsByScrape(prometheus, Object.keys(targetLabels));
  const first = traffic.account();
  await eventually(async () => expect((await seen()).size).toBeGreaterThanOrEqual(SCRAPES));
  for (;;) {
    const before = traffic.account();
    await traffic.round();
    const now = traffic.account();
    const [texts, last] = await eventually(async () => {
      const all = await seen();
      expect([...all.values()].at(-1)).toEqual(seriesTexts(series, now));
      const complete = seriesTexts(series, now).join();
      return [all, [...all.values()].findIndex((each) => each.join() === complete)] as const;
    });
    const scrapes = [...texts.keys()];
    const sawNothing = texts.get(scrapes[last - 1]!)!.join() === seriesTexts(series, before).join();
    if (sawNothing) return { scrapes: scrapes.slice(0, last + 1), first, before, now };
  }
}

/** By Unix milliseconds of the scrape, oldest first; without the labels of the target. */
async function textsByScrape(prometheus: Prometheus, targetLabels: readonly string[]): Promise<Map<number, string[]>> {
  const scrapes = new Map<number, string[]>();
  const selector = `{__name__=~"${Object.keys(FAMILIES).join('|')}"}[5m]`;
  for (const { labels, samples } of await prometheus.ranges(selector)) {
    const { __name__: family, ...all } = labels;
    if (isStranger(all)) continue;
    const own = Object.fromEntries(Object.entries(all).filter(([label]) => !targetLabels.includes(label)));
    for (const { seconds, value } of samples) {
      const scrape = Math.round(seconds * 1000);
      scrapes.set(scrape, [...(scrapes.get(scrape) ?? []), seriesText(family!, own, value)]);
    }
  }
  return new Map([...scrapes].sort(([a], [b]) => a - b).map(([scrape, texts]) => [scrape, texts.sort()]));
}
