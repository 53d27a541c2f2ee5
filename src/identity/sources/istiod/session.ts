/** One delta stream of the workload API: subscribe, apply what comes in slices, answer. */
import type { Logger } from '../../../collector/logger.ts';
import type { CounterHandle } from '../../../collector/telemetry.ts';
import { breathe } from '../../slices.ts';
import type { PiecewiseSession, Send } from '../xds/client.ts';
import { type RejectedResource, rejectionText } from '../xds/error-detail.ts';
import { FieldSplitter, type SplitField } from '../xds/field-splitter.ts';
import type { IncomingMessage } from '../xds/grpc-messages.ts';
import { MalformedMessage } from '../xds/protobuf-reader.ts';
import { ADDRESS_TYPE, AddressDecoder } from './address.ts';
import {
  encodeAnswer,
  encodeFirstRequest,
  encodeSubscribe,
  encodeUnsubscribe,
  RESOURCES,
  ResourceReader,
  ResponseEnvelope,
} from './delta.ts';
import type { MeshState } from './mesh-state.ts';

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

export class AddressSession implements PiecewiseSession {
  readonly #parts: AddressSessionParts;
  #opened = false;
  #answered = false;

  constructor(parts: AddressSessionParts) {
    this.#parts = parts;
  }

  async open(node: Buffer): Promise<void> {
    const { state, send, names } = this.#parts;
    const known = state.declarable() ?? [];
    const request = await encodeFirstRequest({ typeUrl: ADDRESS_TYPE, node, subscribe: names?.(), known });
    state.streamBegins();
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

  async receivePieces(response: IncomingMessage): Promise<void> {
    const { state, send, logger, nacks } = this.#parts;
    const envelope = new ResponseEnvelope();
    const fields = new FieldSplitter();
    const batch = new ResourceBatch(state);
    for await (const piece of response.pieces()) {
      for (const field of fields.push(piece)) {
        if (field.number === RESOURCES) batch.apply(field);
        else envelope.take(field);
        const pause = breathe();
        if (pause) await pause;
      }
    }
    fields.finish();
    if (envelope.typeUrl !== ADDRESS_TYPE) {
      throw new MalformedMessage(`a response of the type ${envelope.typeUrl || '(none)'}, which was not asked for`);
    }
    for (const name of envelope.removed) {
      state.remove(name);
      const pause = breathe();
      if (pause) await pause;
    }
    if (!this.#answered) await state.firstResponseEnds();
    this.#answered = true;
    const { count, rejected } = batch;
    send(encodeAnswer(ADDRESS_TYPE, envelope.nonce, rejected));
    if (rejected.length > 0) {
      nacks.add(1);
      logger.warn(`refused ${rejected.length} of ${count} resources: ${rejectionText(rejected)}`);
    }
    this.#parts.onApplied();
  }
}

/** The resources of one response, each applied as it comes. */
class ResourceBatch {
  /** Those that cannot be used. */
  readonly rejected: RejectedResource[] = [];
  count = 0;
  readonly #state: MeshState;
  readonly #resource = new ResourceReader(ADDRESS_TYPE);
  readonly #decoder = new AddressDecoder();

  constructor(state: MeshState) {
    this.#state = state;
  }

  apply({ bytes, start, end }: SplitField): void {
    this.count++;
    const resource = this.#resource;
    try {
      resource.open(bytes, start, end);
      if (this.#state.confirms(resource.name, resource.version)) return;
      const address = this.#decoder.read(resource.value(), resource.name);
      this.#state.apply(resource.name, resource.version, address, this.#decoder.principal);
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      if (resource.name !== '') this.#state.reject(resource.name);
      this.rejected.push({ name: resource.name || `(resource ${this.count}, without a name)`, reason: error.message });
    }
  }
}
