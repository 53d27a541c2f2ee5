/** Kubernetes objects as tests read them: what is not there fails the test that looks for it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

// biome-ignore lint/suspicious/noExplicitAny: Kubernetes' types are not here
export type Manifest = any;

/** Of a file below deploy/. */
export const manifests = (file: string): Manifest[] =>
  parseAllDocuments(readFileSync(join(import.meta.dirname, '../../../../deploy', file), 'utf8')).map((document) =>
    document.toJS(),
  );
