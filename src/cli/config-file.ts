/** Which configuration file a command uses. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { PACKAGE_ROOT } from '../build-info.ts';
import type { OptionValues } from './arguments.ts';

const NAME = 'otel-config.yaml';

/** Absolute path: what --config says, else otel-config.yaml in the working directory, else the package's own. */
export function configFile(options: OptionValues): string {
  if (options.config !== undefined) return resolve(options.config);
  const here = resolve(NAME);
  return existsSync(here) ? here : join(PACKAGE_ROOT, NAME);
}
