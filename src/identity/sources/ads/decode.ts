/** From a response to the resources in it: those that can be read, and what is wrong with the others. */
import type { Breather } from '../../slices.ts';
import type { RejectedResource } from '../xds/error-detail.ts';
import { MalformedMessage, type ProtobufReader } from '../xds/protobuf-reader.ts';
import { readAny } from './wire.ts';

export interface Named {
  readonly name: string;
}

/** A type of resource. All of them have their name in field 1. */
export interface ResourceType<T extends Named> {
  readonly typeUrl: string;
  /** @throws MalformedMessage */
  read(reader: ProtobufReader, breathe: Breather): Promise<T>;
}

export interface Decoded<T extends Named> {
  /** By name; of several with one name the last. */
  readonly resources: ReadonlyMap<string, T>;
  readonly rejected: readonly RejectedResource[];
  /** Some rejected resource could not even be asked its name. */
  readonly nameless: boolean;
}

export async function decodeResources<T extends Named>(
  type: ResourceType<T>,
  messages: readonly Buffer[],
  breathe: Breather,
): Promise<Decoded<T>> {
  const resources = new Map<string, T>();
  const rejected: RejectedResource[] = [];
  let nameless = false;
  for (const [index, message] of messages.entries()) {
    try {
      const resource = await decodeResource(type, message, breathe);
      resources.set(resource.name, resource);
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      const name = nameOf(message);
      nameless ||= name === '';
      rejected.push({ name: name || `resource ${index + 1} of ${messages.length}`, reason: error.message });
    }
    await breathe();
  }
  return { resources, rejected, nameless };
}

async function decodeResource<T extends Named>(type: ResourceType<T>, message: Buffer, breathe: Breather): Promise<T> {
  const { type: found, value } = readAny(message);
  if (!type.typeUrl.endsWith(`/${found}`))
    throw new MalformedMessage(`it is of ${found === '' ? 'no type' : `type ${found}`}`);
  const resource = await type.read(value, breathe);
  if (resource.name === '') throw new MalformedMessage('it has no name');
  return resource;
}

/** The name of a resource that cannot be read, if at least that can; else ''. */
function nameOf(message: Buffer): string {
  try {
    const { value } = readAny(message);
    while (value.next()) if (value.field === 1) return value.text();
  } catch (error) {
    if (!(error instanceof MalformedMessage)) throw error;
  }
  return '';
}
