/** Constants that a build knows and the sources do not (src/build-info.ts): given to esbuild and to vitest alike. */
import { readFileSync } from 'node:fs';
import { inRoot } from './root.mjs';

/** @param {string} distDirectory JavaScript expression of the directory that holds the BPF object */
export function defines(distDirectory) {
  const { version } = JSON.parse(readFileSync(inRoot('package.json'), 'utf8'));
  return { __TCPLEDGER_VERSION__: JSON.stringify(version), __TCPLEDGER_DIST__: distDirectory };
}
