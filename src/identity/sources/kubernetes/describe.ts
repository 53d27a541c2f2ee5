/** What the configured API server lets the source do, for doctor: the first thing in the way, and the mend for it. */
import type { SourceReport } from '../../source.ts';
import type { Access } from './access.ts';
import { type ApiClient, createApiClient, type Request } from './api-client.ts';
import { ApiFailure } from './api-failure.ts';
import type { KubernetesConfig } from './config.ts';
import { ALL_RESOURCES, RESOURCES } from './resources.ts';
import { readAccessOf } from './source.ts';

const PATIENCE_MS = 10_000;

/** Never rejects. */
export async function describeKubernetes(config: KubernetesConfig): Promise<SourceReport> {
  const readAccess = readAccessOf(config);
  let access: Access;
  try {
    access = await readAccess();
  } catch (error) {
    // The source's own start ends with the same.
    return { ok: false, fatal: true, text: (error as Error).message };
  }
  const client = createApiClient(readAccess);
  const overdue = AbortSignal.timeout(PATIENCE_MS);
  try {
    const problems = await problemsOf(client, access, config, overdue);
    if (problems.length > 0) return { ok: false, text: `${access.server} (${access.origin}): ${problems.join('; ')}` };
    const names = ALL_RESOURCES.map(({ name }) => name).join(', ');
    return { ok: true, text: `${access.server} (${access.origin}): ${names} can be listed and watched` };
  } catch (error) {
    const late = overdue.aborted ? `the API server did not answer within ${PATIENCE_MS / 1000} s: ` : '';
    return { ok: false, text: late + (error as Error).message };
  } finally {
    client.close();
  }
}

/** What is in the way, one by one. @throws ApiFailure for what is all of it: address, certificate, token. */
async function problemsOf(
  client: ApiClient,
  access: Access,
  { node_name }: KubernetesConfig,
  signal: AbortSignal,
): Promise<string[]> {
  const denied: string[] = [];
  let firstWords = '';
  // One after the other: the first tells what is wrong with all of them, once. From the server's cache, as it is.
  for (const request of ALL_RESOURCES.flatMap((resource) => requestsFor(resource, signal))) {
    try {
      await answered(client, request, access);
    } catch (error) {
      const kind = error instanceof ApiFailure ? error.kind : undefined;
      // What every API server has is absent where there is none.
      const isMissing = kind === 'forbidden' || (kind === 'absent' && request.group !== '');
      if (!isMissing) throw error;
      denied.push(`${request.verb} ${request.resource}`);
      firstWords ||= (error as Error).message;
    }
  }
  const problems = denied.length > 0 ? [`${denied.join(', ')}: denied. ${firstWords}`] : [];
  if (node_name !== '' && !(await exists(client, nodeRequest(node_name, signal), access))) {
    problems.push(`there is no node ${node_name}: set node_name to this node's name (spec.nodeName)`);
  }
  return problems;
}

function requestsFor({ name, group, path }: (typeof ALL_RESOURCES)[number], signal: AbortSignal): Request[] {
  const common = { resource: name, group, idleMs: PATIENCE_MS, signal };
  return [
    { ...common, verb: 'list', path: `${path}?limit=1&resourceVersion=0` },
    { ...common, verb: 'watch', path: `${path}?watch=true&resourceVersion=0&timeoutSeconds=1` },
  ];
}

function nodeRequest(name: string, signal: AbortSignal): Request {
  const path = `${RESOURCES.nodes.path}/${encodeURIComponent(name)}`;
  return { verb: 'list', resource: 'nodes', group: '', path, idleMs: PATIENCE_MS, signal };
}

/** Undecided (the account may not read a single node) counts as yes. */
async function exists(client: ApiClient, request: Request, access: Access): Promise<boolean> {
  try {
    await answered(client, request, access);
    return true;
  } catch (error) {
    if (error instanceof ApiFailure && error.kind === 'absent') return false;
    if (error instanceof ApiFailure && error.kind === 'forbidden') return true;
    throw error;
  }
}

/** That the answer is a good one is all there is to know: a watch would say nothing more for a while. */
async function answered(client: ApiClient, request: Request, access: Access): Promise<void> {
  const enough = new AbortController();
  try {
    await client.open({ ...request, signal: AbortSignal.any([request.signal, enough.signal]) }, access);
  } finally {
    enough.abort();
  }
}
