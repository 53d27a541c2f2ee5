import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's root directory, whatever the working directory is. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export const inRoot = (...parts) => join(ROOT, ...parts);
