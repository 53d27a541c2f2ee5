/**
 * One state-of-the-world stream, as a sidecar holds it: all clusters, the endpoints that they name, all listeners, the
 * routes that they name, asked for in this order. Each response is applied as far as it can be read, then accepted (ACK),
 * or refused with the names of what cannot be read (NACK).
 */
import { type Breather, breathe } from '../../slices.ts';
import type { WholeSession } from '../xds/client.ts';
import { encodeErrorDetail, type RejectedResource, rejectionText } from '../xds/error-detail.ts';
import { XdsFailure } from '../xds/failure.ts';
import { readAssignment } from './assignment.ts';
import { readCluster } from './cluster.ts';
import { type Decoded, decodeResources, type Named, type ResourceType } from './decode.ts';
import { readListener } from './listener.ts';
import { encodeNames, encodeRequest, readResponse } from './messages.ts';
import type { MeshModel } from './model.ts';
import { readRoutes } from './route.ts';

export const CLUSTERS = {
  typeUrl: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  read: readCluster,
} as const satisfies ResourceType<Named>;
const ASSIGNMENTS = {
  typeUrl: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  read: readAssignment,
} as const satisfies ResourceType<Named>;
export const LISTENERS = {
  typeUrl: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  read: readListener,
} as const satisfies ResourceType<Named>;
const ROUTES = {
  typeUrl: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
  read: readRoutes,
} as const satisfies ResourceType<Named>;

export interface AdsSessionParts {
  readonly model: MeshModel;
  readonly send: (request: Buffer) => void;
  /** All clusters, or all listeners, or some of the others have been applied. */
  readonly onApplied: (typeUrl: string) => void;
  readonly onRejected: (typeUrl: string, text: string) => void;
}

/** What the stream has said about one type. */
interface Subscription {
  readonly type: ResourceType<Named>;
  /** Decodes and applies a response; returns what it had to refuse. */
  readonly apply: (messages: readonly Buffer[], breathe: Breather) => Promise<readonly RejectedResource[]>;
  asked: boolean;
  version: string;
  nonce: string;
  /** undefined: all there are. */
  names: readonly string[] | undefined;
  encodedNames: Buffer | undefined;
  /** New names were sent with the nonce of an older response than the last: then the server may have passed over them. */
  namesInDoubt: boolean;
}

export class AdsSession implements WholeSession {
  readonly #parts: AdsSessionParts;
  readonly #clusters: Subscription;
  readonly #assignments: Subscription;
  readonly #listeners: Subscription;
  readonly #routes: Subscription;

  constructor(parts: AdsSessionParts) {
    this.#parts = parts;
    const { model } = parts;
    this.#clusters = subscription(CLUSTERS, async (messages, breathe) => {
      const decoded = await decodeResources(CLUSTERS, messages, breathe);
      await model.setClusters(wholeState(decoded, model.clusters), breathe);
      return decoded.rejected;
    });
    this.#assignments = subscription(ASSIGNMENTS, async (messages, breathe) => {
      const { resources, rejected } = await decodeResources(ASSIGNMENTS, messages, breathe);
      await model.setAssignments(resources.values(), breathe);
      return rejected;
    });
    this.#listeners = subscription(LISTENERS, async (messages, breathe) => {
      const decoded = await decodeResources(LISTENERS, messages, breathe);
      await model.setListeners(wholeState(decoded, model.listeners), breathe);
      return decoded.rejected;
    });
    this.#routes = subscription(ROUTES, async (messages, breathe) => {
      const { resources, rejected } = await decodeResources(ROUTES, messages, breathe);
      await model.setRoutes(resources.values(), breathe);
      return rejected;
    });
  }

  open(node: Buffer): void {
    this.#clusters.asked = true;
    this.#parts.send(encodeRequest({ typeUrl: CLUSTERS.typeUrl, node }));
  }

  async receive(bytes: Buffer): Promise<void> {
    const response = await readResponse(bytes, breathe);
    const { typeUrl, version, nonce } = response;
    const about = [this.#clusters, this.#assignments, this.#listeners, this.#routes].find(
      ({ type, asked }) => asked && type.typeUrl === typeUrl,
    );
    if (!about)
      throw new XdsFailure(
        'protocol',
        `the control plane sends ${typeUrl || 'resources of no type'}, which nobody asked for`,
      );
    about.nonce = nonce;
    const rejected = await about.apply(response.resources, breathe);
    if (rejected.length === 0) about.version = version;
    this.#answer(about, rejected);
    if (about === this.#clusters) {
      await this.#subscribe(this.#assignments, this.#parts.model.assignmentNames);
      await this.#subscribe(this.#listeners, undefined);
    } else if (about === this.#listeners) await this.#subscribe(this.#routes, this.#parts.model.routeNames);
    this.#parts.onApplied(typeUrl);
  }

  /** A refused response leaves the version as it was. */
  #answer(about: Subscription, rejected: readonly RejectedResource[]): void {
    const doubt = about.namesInDoubt;
    about.namesInDoubt = false;
    if (rejected.length === 0) {
      this.#request(about);
      return;
    }
    const text = rejectionText(rejected);
    this.#parts.onRejected(about.type.typeUrl, text);
    this.#request(about, encodeErrorDetail(text));
    // A refusal is read for its error alone.
    if (doubt) this.#request(about);
  }

  /** Asks for the first time, or says which names it wants from now on. */
  async #subscribe(about: Subscription, names: readonly string[] | undefined): Promise<void> {
    if (about.asked ? sameNames(about.names, names) : names?.length === 0) return;
    about.namesInDoubt = about.asked;
    about.asked = true;
    about.names = names;
    about.encodedNames = names && (await encodeNames(names, breathe));
    this.#request(about);
  }

  #request({ type: { typeUrl }, version, nonce, encodedNames }: Subscription, error?: Buffer): void {
    this.#parts.send(
      encodeRequest({
        typeUrl,
        version,
        nonce,
        ...(encodedNames ? { names: encodedNames } : {}),
        ...(error ? { error } : {}),
      }),
    );
  }
}

function subscription(type: ResourceType<Named>, apply: Subscription['apply']): Subscription {
  return {
    type,
    apply,
    asked: false,
    version: '',
    nonce: '',
    names: undefined,
    encodedNames: undefined,
    namesInDoubt: false,
  };
}

/**
 * A response with all resources of its type: what is not in it is gone, but for what is in it and cannot be read. If that
 * does not even tell its name, nothing is taken for gone.
 */
function wholeState<T extends Named>(
  { resources, rejected, nameless }: Decoded<T>,
  before: ReadonlyMap<string, T>,
): ReadonlyMap<string, T> {
  if (rejected.length === 0) return resources;
  const kept = nameless ? before : new Map(rejected.flatMap(({ name }) => entry(before, name)));
  return new Map([...kept, ...resources]);
}

function entry<T>(map: ReadonlyMap<string, T>, name: string): [string, T][] {
  const value = map.get(name);
  return value === undefined ? [] : [[name, value]];
}

function sameNames(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const known = new Set(a);
  return known.size === b.length && b.every((name) => known.has(name));
}
