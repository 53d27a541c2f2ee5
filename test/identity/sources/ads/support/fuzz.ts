/** The small mesh as a sidecar is told of it, and who is who in it. */

import type { Shelf } from '../../../../../src/identity/directory.ts';
import { MeshModel } from '../../../../../src/identity/sources/ads/model.ts';
import { AdsSession } from '../../../../../src/identity/sources/ads/session.ts';
import { addressOf } from '../../../../../src/semconv/address.ts';
import type { FuzzTarget } from '../../xds/support/fuzz.ts';
import { ControlPlane } from './control-plane.ts';
import { decode, encode, type ResourceKind, TYPE_URLS } from './envoy.ts';
import { mesh } from './mesh.ts';

/** In the order in which they are asked for. */
const RIGHT = responses();

function responses(): readonly Buffer[] {
  const plane = new ControlPlane();
  mesh(plane);
  const kinds = Object.keys(TYPE_URLS) as ResourceKind[];
  return kinds.map((kind) =>
    encode('DiscoveryResponse', {
      version_info: 'v',
      nonce: 'n',
      type_url: TYPE_URLS[kind],
      resources: Object.values(plane.state[kind]).map((fields) => ({
        type_url: TYPE_URLS[kind],
        value: encode(kind, fields as Readonly<Record<string, unknown>>),
      })),
    }),
  );
}

export function adsTarget(shelf: Shelf): FuzzTarget {
  const model = new MeshModel(shelf);
  const at = (address: string) => shelf.byAddress(addressOf(address), undefined)?.workload.name;
  const dialled = (address: string, port: number) =>
    shelf.services.byAddress('', addressOf(address), undefined, port)?.service.hostname;
  return {
    session: (send) => new AdsSession({ model, send, onApplied: () => {}, onRejected: () => {} }),
    messages: RIGHT,
    right: () => RIGHT,
    refuses: (request) => Boolean(decode('DiscoveryRequest', request).error_detail),
    answers: () => ({
      web: at('fd00:10::1'),
      db: at('10.0.2.1'),
      http: dialled('10.96.0.1', 80),
      tcp: dialled('fd00:96::2', 5432),
    }),
  };
}
