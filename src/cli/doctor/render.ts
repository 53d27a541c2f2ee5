/** Findings as lines for a terminal. */
import { type Finding, obstacles } from './finding.ts';

export function render(title: string, findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ feature }) => feature.length)) + 2;
  const lines = findings.flatMap((finding) => {
    const { feature, ok, detail, mend, optional } = finding;
    const line = `${ok ? '✓' : '✗'} ${feature.padEnd(width)}${detail}${!ok && optional ? ' (optional)' : ''}`;
    return ok || mend === undefined ? [line] : [line, `  ${' '.repeat(width)}→ ${mend}`];
  });
  const broken = obstacles(findings).map(({ feature }) => feature);
  const verdict = broken.length === 0 ? 'The agent can run.' : `The agent cannot run: ${broken.join(', ')}.`;
  return `${[title, '', ...lines, '', verdict].join('\n')}\n`;
}
