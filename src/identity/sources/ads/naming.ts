/**
 * Istio's recipe for an endpoint's workload (identity.md, "ads"): `filter_metadata["istio"].workload` is
 * `<workload>;<namespace>;<canonical service>;<canonical revision>;<cluster>`, the locality is the group's.
 */
import { UNNAMED_FIELDS } from '../../workload-pool.ts';
import type { Naming } from './resources.ts';

/** What istiod leaves out, since most have it. */
const DEFAULT_REVISION = 'latest';

const known = (text: string | undefined): string | undefined => (text === '' ? undefined : text);

/** Namings of endpoints in one locality: they are many, and have few. */
export class Namings {
  readonly #region: string;
  readonly #zone: string;
  readonly #byMetadata = new Map<string, Naming>();

  constructor(region: string, zone: string) {
    this.#region = region;
    this.#zone = zone;
  }

  /** `metadata`: the workload's text, empty if the endpoint has none. */
  get(metadata: string): Naming {
    let naming = this.#byMetadata.get(metadata);
    if (!naming) {
      const id = JSON.stringify([metadata, this.#region, this.#zone]);
      naming = { id, fields: workloadFields(metadata, this.#region, this.#zone) };
      this.#byMetadata.set(metadata, naming);
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
