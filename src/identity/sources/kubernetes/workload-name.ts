/**
 * Istio's naming rules for pods, to the letter (identity.md, "Istio's naming rules"): the same pod has the same labels
 * here as in istiod's, ztunnel's and Kiali's eyes. Pure; all that is read is labels, names and owners.
 */
import { asList, asRecord, asText, type JsonRecord, textAt } from './json.ts';
import { shared } from './shared-text.ts';

/** A CronJob's Job has the scheduled time behind its name: minutes (8 digits) or seconds (10) since the epoch. */
const CRON_JOB = /(.+)-\d{8,10}$/;

const SERVICE_LABELS = ['service.istio.io/canonical-name', 'app.kubernetes.io/name', 'app'];
const REVISION_LABELS = ['service.istio.io/canonical-revision', 'app.kubernetes.io/version', 'version'];

export interface Naming {
  /** Label *_workload. */
  readonly workload: string;
  /** undefined: the label that decides is there and empty. */
  readonly canonicalService: string | undefined;
  readonly canonicalRevision: string | undefined;
}

/** `metadata` of a pod. */
export function podNaming(podName: string, metadata: JsonRecord): Naming {
  const labels = asRecord(metadata.labels);
  const workload = shared(workloadName(podName, metadata, labels));
  const service = firstPresent(labels, SERVICE_LABELS, workload);
  const revision = firstPresent(labels, REVISION_LABELS, 'latest');
  return {
    workload,
    canonicalService: service === '' ? undefined : shared(service),
    canonicalRevision: revision === '' ? undefined : shared(revision),
  };
}

function workloadName(podName: string, metadata: JsonRecord, labels: JsonRecord | undefined): string {
  // An empty override names nobody: what follows does.
  return textAt(labels, 'service.istio.io/workload-name') || ownerName(metadata, labels) || podName;
}

/** The owner that made this pod out of a template; undefined for a pod that has a name of its own. */
function ownerName(metadata: JsonRecord, labels: JsonRecord | undefined): string | undefined {
  if (!asText(metadata.generateName)) return undefined;
  const owner = asList(metadata.ownerReferences)
    .map(asRecord)
    .find((reference) => reference?.controller === true);
  const name = asText(owner?.name);
  if (!owner || !name) return undefined;
  switch (owner.kind) {
    case 'ReplicaSet':
      return (
        withoutHash(name, textAt(labels, 'pod-template-hash')) ??
        withoutHash(name, textAt(labels, 'rollouts-pod-template-hash')) ??
        name
      );
    case 'ReplicationController':
      return textAt(labels, 'deploymentconfig') || name;
    case 'Job':
      return CRON_JOB.exec(name)?.[1] ?? name;
    default:
      return name;
  }
}

/** Of a Deployment or Rollout; undefined if the name does not end with the hash. Without a dash before it it stays whole. */
function withoutHash(name: string, hash: string | undefined): string | undefined {
  if (!hash || !name.endsWith(hash)) return undefined;
  return name.endsWith(`-${hash}`) ? name.slice(0, -hash.length - 1) : name;
}

function firstPresent(labels: JsonRecord | undefined, keys: readonly string[], otherwise: string): string {
  for (const key of keys) {
    const value = textAt(labels, key);
    if (value !== undefined) return value;
  }
  return otherwise;
}
