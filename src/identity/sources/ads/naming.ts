/**
 * Istio's recipe for an endpoint's workload (identity.md, "ads"): `filter_metadata["istio"].workload` is
 * `<workload>;<namespace>;<canonical service>;<canonical revision>;<cluster>`, the locality is the group's.
 */
import { UNNAMED_FIELDS } from '../../workload-pool.ts';
import type { Naming } from './resources.ts';

/** What istiod leaves out, since most have it. */
const DEFAULT_REVISION = 'latest';

const known = (text: string | undefined): string | undefined => (text === '' ? undefined : text);

/** Namings of one assignment by their text: its many endpoints have few. */
export class Namings {
  readonly #namings = new Map<string, Naming>();

  /** `metadata`: the workload's text, empty if the endpoint has none. */
  get(metadata: string, region: string, zone: string): Naming {
    const id = JSON.stringify([metadata, region, zone]);
    let naming = this.#namings.get(id);
    if (!naming) {
      naming = { id, fields: workloadFields(metadata, region, zone) };
      this.#namings.set(id, naming);
    }
    return naming;
  }
}

function workloadFields(metadata: string, region: string, zone: string): Naming['fields'] {
  const [name, namespace, canonicalService, canonicalRevision, cluster] = metadata.split(';');
  if (!name) return undefined;
  return {
    ...UNNAMED_FIELDS,
    name,
    namespace: known(namespace),
    canonicalService: known(canonicalService),
    canonicalRevision: known(canonicalRevision) ?? DEFAULT_REVISION,
    cluster: known(cluster),
    region: known(region),
    zone: known(zone),
  };
}
