/** Whether node_modules is what package-lock.json says, without asking npm (half a second) or the network. */
import { existsSync, readFileSync } from 'node:fs';
import { inRoot, ROOT } from './root.mjs';

/** Packages whose native part is an optional dependency, which `--omit=optional` leaves out without a word. */
const NATIVE = [
  { package: 'koffi', part: `node_modules/@koromix/koffi-${process.platform}-${process.arch}` },
  { package: 'esbuild', part: `node_modules/@esbuild/${process.platform}-${process.arch}` },
];

/** Why `npm ci` is needed, or undefined. */
export function npmPackagesMissing() {
  if (!existsSync(inRoot('node_modules/.package-lock.json')))
    return `${ROOT}/node_modules is missing or was not laid by npm`;
  const wanted = readPackages('package-lock.json');
  const present = readPackages('node_modules/.package-lock.json');
  for (const [path, { version, integrity, optional }] of Object.entries(wanted)) {
    if (path === '') continue;
    const found = present[path];
    if (found === undefined && optional) continue;
    if (found === undefined) return `${path} is missing`;
    if (found.version !== version || found.integrity !== integrity) {
      return `${path} is ${found.version}, package-lock.json wants ${version}`;
    }
  }
  for (const { package: name, part } of NATIVE) {
    if (!existsSync(inRoot(part)))
      return `${part}, the native part of ${name}, is missing (was it installed with --omit=optional?)`;
  }
  return undefined;
}

function readPackages(file) {
  return JSON.parse(readFileSync(inRoot(file), 'utf8')).packages;
}
