/** A small mesh over the workload API, and who is who in it. */

import type { Shelf } from '../../../../../src/identity/directory.ts';
import { MeshState } from '../../../../../src/identity/sources/istiod/mesh-state.ts';
import { AddressSession } from '../../../../../src/identity/sources/istiod/session.ts';
import { addressOf } from '../../../../../src/semconv/address.ts';
import type { FuzzTarget } from '../../xds/support/fuzz.ts';
import { decode, encode } from '../../xds/support/protobuf.ts';
import { pod, response, serviceKey, serviceResource, uidOf } from './rig.ts';

const SERVICES = { [serviceKey('web')]: { ports: [{ servicePort: 80, targetPort: 8080 }] } };
const MORE = {
  network: '',
  trustDomain: 'mesh',
  serviceAccount: 'web',
  node: 'n1',
  services: SERVICES,
  locality: { region: 'r', zone: 'z' },
};

const right = (version: string) =>
  response([
    pod('a', '10.0.0.1', version, MORE),
    pod('b', '10.0.0.2', version, MORE),
    serviceResource('web', '10.96.0.1', version),
  ]);
const NAMES = new Set([uidOf('a'), uidOf('b'), serviceKey('web')]);

const MESSAGES: readonly Buffer[] = [
  right('v1'),
  response([pod('a', '10.0.0.3', '', { networkMode: 1 })], [uidOf('b'), serviceKey('web'), '/10.0.0.1']),
  response(
    [],
    Array.from({ length: 5 }, (_, i) => `/10.0.0.${i}`),
  ),
].map((message) => encode('DeltaDiscoveryResponse', message));

export function istiodTarget(shelf: Shelf): FuzzTarget {
  const state = new MeshState(shelf, undefined);
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const nacks = { add() {} };
  const onApplied = () => shelf.markSynced();
  let version = 1;
  const at = (address: string) => shelf.byAddress(addressOf(address), undefined)?.workload.name;
  return {
    session: (send) => new AddressSession({ state, send, logger, nacks, names: undefined, onApplied }),
    messages: MESSAGES,
    right() {
      const gone = [...(state.declarable() ?? [])].map(([name]) => name).filter((name) => !NAMES.has(name));
      // Of another version than what was made up: the same one would be the same resource, and not looked at.
      return [encode('DeltaDiscoveryResponse', { ...right(`right ${version++}`), removedResources: gone })];
    },
    refuses: (request) => decode('DeltaDiscoveryRequest', request).errorDetail !== null,
    answers: () => ({
      a: at('10.0.0.1'),
      b: at('10.0.0.2'),
      service: shelf.services.byAddress('', addressOf('10.96.0.1'), undefined)?.service.hostname,
    }),
  };
}
