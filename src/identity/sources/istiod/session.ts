/** One delta stream of the workload API: subscribe, apply what comes in slices, answer. */
import type { Logger } from '../../../collector/logger.ts';
import type { CounterHandle } from '../../../collector/telemetry.ts';
import { createBreather } from '../../slices.ts';
import type { Send, XdsSession } from '../xds/client.ts';
import { type RejectedResource, rejectionText } from '../xds/error-detail.ts';
import { MalformedMessage } from '../xds/protobuf-reader.ts';
import { ADDRESS_TYPE, AddressDecoder } from './address.ts';
import {
  type DeltaResource,
  encodeAnswer,
  encodeFirstRequest,
  encodeSubscribe,
  encodeUnsubscribe,
  openResource,
  readResponse,
} from './delta.ts';
import type { MeshState } from './mesh-state.ts';

/** Shorter than others': collections of the young generation come on top, and there are many new objects here. */
const SLICE_MS = 5;

export interface AddressSessionParts {
  readonly state: MeshState;
  readonly send: Send;
  readonly logger: Logger;
  readonly nacks: CounterHandle;
  /** Names to subscribe to, as they are when the stream opens; undefined: everything. */
  readonly names: (() => Iterable<string>) | undefined;
  /** A response has been applied. */
  readonly onApplied: () => void;
}

export class AddressSession implements XdsSession {
  readonly #parts: AddressSessionParts;
  #opened = false;
  #answered = false;

  constructor(parts: AddressSessionParts) {
    this.#parts = parts;
  }

  async open(node: Buffer): Promise<void> {
    const { state, send, names } = this.#parts;
    const { request, declared } = await encodeFirstRequest({
      typeUrl: ADDRESS_TYPE,
      node,
      subscribe: names?.(),
      known: state.known(),
    });
    state.streamBegins(declared);
    send(request);
    this.#opened = true;
  }

  /**
   * Asks for more names, once the stream is open: what is wanted before is in the first request. `again`: those among
   * them that were asked for before. A control plane answers only what is new to it, so they are taken back first.
   */
  subscribe(names: ReadonlySet<string>, again: ReadonlySet<string>): void {
    if (!this.#opened) return;
    if (again.size > 0) this.unsubscribe(again);
    this.#parts.send(encodeSubscribe(ADDRESS_TYPE, names));
  }

  unsubscribe(names: ReadonlySet<string>): void {
    if (this.#opened) this.#parts.send(encodeUnsubscribe(ADDRESS_TYPE, names));
  }

  async receive(bytes: Buffer): Promise<void> {
    const { state, send, logger, nacks } = this.#parts;
    const response = readResponse(bytes);
    if (response.typeUrl !== ADDRESS_TYPE) {
      throw new MalformedMessage(`a response of the type ${response.typeUrl || '(none)'}, which was not asked for`);
    }
    // Removals first: an address that changes hands within one message is nobody's for no moment that anybody sees.
    const breathe = createBreather(SLICE_MS);
    for (const name of response.removed) {
      state.remove(name);
      const pause = breathe();
      if (pause) await pause;
    }
    const rejected = await this.#applyAll(bytes, response.resources, breathe);
    if (!this.#answered) await state.firstResponseEnds();
    this.#answered = true;
    send(encodeAnswer(ADDRESS_TYPE, response.nonce, rejected));
    if (rejected.length > 0) {
      nacks.add(1);
      logger.warn(
        `refused ${rejected.length} of ${response.resources.length / 2} resources: ${rejectionText(rejected)}`,
      );
    }
    this.#parts.onApplied();
  }

  /** Returns those that cannot be used. */
  async #applyAll(
    bytes: Buffer,
    ranges: readonly number[],
    breathe: () => Promise<void> | undefined,
  ): Promise<RejectedResource[]> {
    const { state } = this.#parts;
    const decoder = new AddressDecoder();
    const resource: DeltaResource = { name: '', version: '' };
    const rejected: RejectedResource[] = [];
    for (let at = 0; at < ranges.length; at += 2) {
      try {
        const reader = openResource(bytes, ranges[at]!, ranges[at + 1]!, ADDRESS_TYPE, resource);
        const { name, version } = resource;
        state.apply(name, version, decoder.read(reader, name), decoder.texts.share);
      } catch (error) {
        if (!(error instanceof MalformedMessage)) throw error;
        if (resource.name !== '') state.reject(resource.name);
        rejected.push({ name: resource.name || `(resource ${at / 2 + 1}, without a name)`, reason: error.message });
      }
      const pause = breathe();
      if (pause) await pause;
    }
    return rejected;
  }
}
