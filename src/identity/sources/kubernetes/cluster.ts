/**
 * What is known of the cluster, joined. A pod's workload depends on its node (region, zone), its namespace (the mesh)
 * and the endpoint slices that name it (the services it backs); a change of any of these concerns the pods behind it and
 * no others. They are pushed to the directory soon after, a slice of time at a time: a service may have ten thousand
 * endpoints. What is gone leaves the directory at once.
 */
import type { Shelf } from '../../directory.ts';
import { MultiMap } from '../../multi-map.ts';
import { Backing, nameOf } from './backing.ts';
import { ByName, Held } from './held.ts';
import { type ClusterNames, podWorkload, serviceKey, serviceObject } from './naming.ts';
import type { EndpointSlice, KubeNode, KubeService, Namespace, Pod } from './trimmed.ts';

export interface ClusterParts {
  readonly shelf: Shelf;
  readonly names: ClusterNames;
  /** Lets the event loop have its turn when it is due. */
  readonly breathe: () => Promise<void> | undefined;
}

export class Cluster {
  readonly pods = new Held<Pod>((old, now) => this.#podChanged(old, now));
  readonly services = new Held<KubeService>((old, now) => this.#serviceChanged(old, now));
  readonly endpointSlices = new Held<EndpointSlice>((old, now) => this.#backing.sliceChanged(old, now));
  readonly nodes = new Held<KubeNode>((old, now) => this.#nodeChanged(old, now));
  readonly namespaces = new Held<Namespace>((old, now) => this.#namespaceChanged(old, now));

  readonly #parts: ClusterParts;
  readonly #podsByNode = new MultiMap<string, Pod>();
  readonly #podsByNamespace = new MultiMap<string, Pod>();
  /** Pods with an address of their own. */
  readonly #podsByAddress = new MultiMap<string, Pod>();
  readonly #servicesByName = new ByName<KubeService>();
  readonly #servicesByOuterIp = new MultiMap<string, KubeService>();
  readonly #nodesByName = new ByName<KubeNode>();
  readonly #nodesByAddress = new MultiMap<string, KubeNode>();
  readonly #namespacesByName = new ByName<Namespace>();
  readonly #backing: Backing;
  readonly #unpushed = new Set<Pod>();
  #pushing: Promise<void> | undefined;

  constructor(parts: ClusterParts) {
    this.#parts = parts;
    this.#backing = new Backing({
      service: (name) => this.#servicesByName.get(name),
      key: (service) => serviceKey(service, parts.names),
      concerned: (endpoints) => this.#endpointsChanged(endpoints),
    });
  }

  /** Resolves when the directory has all that is known. */
  async pushed(): Promise<void> {
    while (this.#pushing) await this.#pushing;
  }

  #podChanged(old: Pod | undefined, now: Pod | undefined): void {
    if (old) {
      this.#unpushed.delete(old);
      this.#podsByNode.delete(old.node, old);
      this.#podsByNamespace.delete(old.namespace, old);
      if (!old.hostNetwork) for (const address of old.addresses) this.#podsByAddress.delete(address, old);
    }
    // A finished pod has no process left; its address may be another's by now.
    if (!now || now.finished) {
      if (old) this.#parts.shelf.removeWorkload(old.uid);
      return;
    }
    this.#podsByNode.add(now.node, now);
    this.#podsByNamespace.add(now.namespace, now);
    if (!now.hostNetwork) for (const address of now.addresses) this.#podsByAddress.add(address, now);
    this.#push([now]);
  }

  #serviceChanged(old: KubeService | undefined, now: KubeService | undefined): void {
    const name = nameOf((now ?? old)!);
    for (const address of old?.outerIps ?? []) this.#servicesByOuterIp.delete(address, old!);
    for (const address of now?.outerIps ?? []) this.#servicesByOuterIp.add(address, now!);
    if (!this.#servicesByName.change(name, old, now)) return;
    const holder = this.#servicesByName.get(name);
    if (holder) this.#pushService(holder);
    else this.#parts.shelf.removeService(serviceKey(old!, this.#parts.names));
    this.#backing.serviceChanged(name);
  }

  #nodeChanged(old: KubeNode | undefined, now: KubeNode | undefined): void {
    const { name } = (now ?? old)!;
    for (const address of old?.addresses ?? []) this.#nodesByAddress.delete(address, old!);
    for (const address of now?.addresses ?? []) this.#nodesByAddress.add(address, now!);
    if (this.#nodesByName.change(name, old, now)) this.#push(this.#podsByNode.get(name));
    for (const address of new Set([...(old?.addresses ?? []), ...(now?.addresses ?? [])])) {
      for (const service of this.#servicesByOuterIp.get(address)) this.#pushService(service);
    }
  }

  #namespaceChanged(old: Namespace | undefined, now: Namespace | undefined): void {
    const { name } = (now ?? old)!;
    const wasAmbient = this.#namespacesByName.get(name)?.ambient ?? false;
    this.#namespacesByName.change(name, old, now);
    const ambient = this.#namespacesByName.get(name)?.ambient ?? false;
    if (ambient !== wasAmbient) this.#push(this.#podsByNamespace.get(name));
  }

  #endpointsChanged(endpoints: Iterable<string>): void {
    for (const endpoint of endpoints) {
      const pod = this.pods.get(endpoint);
      this.#push(pod ? [pod] : this.#podsByAddress.get(endpoint));
    }
  }

  #pushService(service: KubeService): void {
    const { shelf, names } = this.#parts;
    if (this.#servicesByName.get(nameOf(service)) !== service) return;
    shelf.upsertService(serviceObject(service, names, (address) => this.#nodesByAddress.has(address)));
  }

  #push(pods: Iterable<Pod>): void {
    for (const pod of pods) if (!pod.finished) this.#unpushed.add(pod);
    if (this.#unpushed.size > 0) this.#pushing ??= this.#pushAll();
  }

  async #pushAll(): Promise<void> {
    // Changes that come together (a pod and its slice) are pushed together.
    await new Promise((resolve) => setImmediate(resolve));
    for (const pod of this.#unpushed) {
      this.#unpushed.delete(pod);
      this.#pushPod(pod);
      await this.#parts.breathe();
    }
    this.#pushing = undefined;
  }

  #pushPod(pod: Pod): void {
    const { shelf, names } = this.#parts;
    const endpoints = pod.hostNetwork ? [pod.uid] : [pod.uid, ...pod.addresses];
    const node = this.#nodesByName.get(pod.node);
    const namespace = this.#namespacesByName.get(pod.namespace);
    const services = this.#backing.services(endpoints);
    shelf.upsertWorkload(podWorkload(pod, { node, namespace, services }, names));
  }
}
