/**
 * The user half, by esbuild: one CommonJS file for the agent (a bundle starts in two thirds of the time and keeps 9 MB
 * less than loading a thousand modules), one for embedding, and the declarations of the latter.
 */
import { chmodSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { build } from 'esbuild';
import { defines } from './defines.mjs';
import { fail, runOrFail, say } from './prepare.mjs';
import { inRoot, ROOT } from './root.mjs';
import { hashInputs, isUpToDate, stamp, writeAtomically } from './stamp.mjs';

const AGENT = 'dist/tcpledger.cjs';
const LIBRARY = 'dist/index.cjs';
const TYPES = 'dist/types';

const INPUTS = ['src', 'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.types.json', 'scripts'];

/** koffi loads a native part from beside itself, so it stays a package. */
const AGENT_EXTERNAL = ['koffi'];

/** The embedding program's own API packages are used: its providers must be the ones that instruments come from. */
const LIBRARY_EXTERNAL = [...AGENT_EXTERNAL, '@opentelemetry/api', '@opentelemetry/api-logs'];

export async function buildJavaScript() {
  const hash = hashInputs(INPUTS);
  if (isUpToDate('javascript', hash, [AGENT, LIBRARY, `${TYPES}/index.d.ts`])) return;
  await bundle('src/cli/main.ts', AGENT, AGENT_EXTERNAL, '#!/usr/bin/env node');
  chmodSync(inRoot(AGENT), 0o755);
  await bundle('src/index.ts', LIBRARY, LIBRARY_EXTERNAL);
  declarations();
  stamp('javascript', hash);
  say(`built ${AGENT}, ${LIBRARY} and ${TYPES} in ${ROOT}`);
}

async function bundle(entry, output, external, banner) {
  const result = await build({
    entryPoints: [inRoot(entry)],
    outfile: inRoot(output),
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node20',
    // ECMAScript modules where a package has them: what is not used of them is left out.
    mainFields: ['module', 'main'],
    format: 'cjs',
    // The source text stays in memory for life: without comments and blanks it is a megabyte less.
    minifyWhitespace: true,
    minifySyntax: true,
    charset: 'ascii',
    legalComments: 'linked',
    external,
    define: defines('__dirname'),
    ...(banner === undefined ? {} : { banner: { js: banner } }),
    logLevel: 'warning',
  }).catch(() => fail(`cannot build ${output}: what esbuild says is above`));
  if (result.warnings.length > 0) fail(`cannot build ${output}: warnings are errors, and esbuild's are above`);
  for (const file of result.outputFiles) writeAtomically(file.path.slice(ROOT.length + 1), file.contents);
}

function declarations() {
  rmSync(inRoot(TYPES), { recursive: true, force: true });
  const tsc = join(createRequire(import.meta.url).resolve('typescript/package.json'), '..', 'bin', 'tsc');
  runOrFail([process.execPath, tsc, '-p', inRoot('tsconfig.types.json')]);
  // They describe a CommonJS file, in a package that is otherwise ECMAScript modules.
  writeAtomically(`${TYPES}/package.json`, `${JSON.stringify({ type: 'commonjs' })}\n`);
}
