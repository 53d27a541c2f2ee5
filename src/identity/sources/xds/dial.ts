/** From a configuration to a stream: files are read, the node is described, and the control plane is dialled. */
import type { XdsStream } from './channel.ts';
import { endpointText, type XdsConfig } from './config.ts';
import { readCredentials } from './credentials.ts';
import { XdsFailure } from './failure.ts';
import { whole } from './grpc-messages.ts';
import { createNode, encodeNode, type Machine, type NodeFacts, thisMachine } from './node.ts';
import { tokenObjection } from './token.ts';

export interface Dialled {
  /** The caller's to close: until its responses are read nobody else does. */
  readonly stream: XdsStream;
  /** The encoded node message, for the first request. */
  readonly node: Buffer;
}

/**
 * `method` as `/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources`.
 *
 * @throws XdsFailure where files are missing or of no use. What goes wrong on the way is thrown by `stream.responses`.
 */
export async function dial(
  config: XdsConfig,
  method: string,
  kind: NodeFacts['kind'],
  nowMs: number,
  machine: Machine = thisMachine,
): Promise<Dialled> {
  const credentials = readCredentials(config);
  const { token } = credentials;
  const { cluster_id: clusterId, network } = config;
  const node = createNode({ kind, clusterId, network, tokenNamespace: token?.namespace }, machine);
  const encodedNode = encodeNode(node);
  const { openStream } = await import('./channel.ts');
  const stream = openStream(config, method, credentials, {
    target: endpointText(config.endpoint),
    plaintext: config.tls.insecure,
    caFile: config.tls.ca_file,
    tokenFile: token === undefined ? '' : config.token_file,
    tokenObjection: token && tokenObjection(token, node.namespace, nowMs),
    nodeId: node.id,
    nodeNamespace: node.namespace,
  });
  return { stream, node: encodedNode };
}

/** How long doctor waits for an answer. */
const PROBE_TIMEOUT_MS = 15_000;

/**
 * For doctor: the first response to one request, over a stream of its own.
 *
 * @throws XdsFailure
 */
export async function probe(
  config: XdsConfig,
  method: string,
  kind: NodeFacts['kind'],
  request: (node: Buffer) => Buffer | Promise<Buffer>,
  machine?: Machine,
): Promise<Buffer> {
  const { stream, node } = await dial(config, method, kind, Date.now(), machine);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    stream.close();
  }, PROBE_TIMEOUT_MS);
  try {
    stream.send(await request(node));
    for await (const response of stream.responses()) return await whole(response);
    throw new Error('a stream ends by an error');
  } catch (error) {
    if (!late) throw error;
    const seconds = PROBE_TIMEOUT_MS / 1000;
    throw new XdsFailure(
      'protocol',
      `${endpointText(config.endpoint)} takes the request and gives no answer within ${seconds} s`,
    );
  } finally {
    clearTimeout(timer);
    stream.close();
  }
}
