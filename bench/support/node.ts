/**
 * A node of a mesh of 10,000 workloads and 500 services, as identity meets it: a workload file, the node's pods as
 * directories of a cgroup tree, and a kernel half in memory whose slots are pairs of those pods.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FIRST_PAIR_SLOT } from '../../src/receiver/pairs.ts';
import { FakeKernel, type PairKey } from '../../test/receiver/fake-kernel.ts';

export const WORKLOADS = 10_000;
const SERVICES = 500;
/** What the kubelet allows on a node unless told otherwise. */
const LOCAL_PODS = 110;

const podAddress = (i: number): string => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
const vip = (i: number): string => `10.96.${i >> 8}.${i & 255}`;
const serviceKey = (i: number): string => `ns${i % 50}/app-${i}.ns${i % 50}.svc.cluster.local`;

export class MeshNode {
  readonly kernel: FakeKernel;
  readonly workloadFile: string;
  /** Instead of the mount point of the cgroup v2 hierarchy. */
  readonly cgroups: string;
  /** The slots in use. */
  readonly slots: Uint32Array;
  generation = 0;
  readonly #folder = mkdtempSync(join(tmpdir(), 'tcpledger-bench-'));
  /** Of the local pods: workloads 0 to 109. */
  readonly #cgroupIds: readonly bigint[];

  constructor(slotCount: number) {
    const podUids = Array.from({ length: LOCAL_PODS }, () => randomUUID());
    this.cgroups = join(this.#folder, 'cgroups');
    this.#cgroupIds = podUids.map((uid) => {
      const container = join(this.cgroups, 'kubepods', 'burstable', `pod${uid}`, randomBytes(32).toString('hex'));
      mkdirSync(container, { recursive: true });
      return statSync(container, { bigint: true }).ino;
    });
    this.workloadFile = join(this.#folder, 'workloads.yaml');
    writeFileSync(this.workloadFile, workloadFile(podUids));
    this.kernel = new FakeKernel({ slotCount: 2 * slotCount });
    this.slots = Uint32Array.from({ length: slotCount }, (_, i) => i + FIRST_PAIR_SLOT);
  }

  /**
   * Every slot is another pair's, in a new generation. By the pods of this node in turns: half of the pairs dial a VIP,
   * a quarter dial a pod, a quarter are connections of a pod that were accepted.
   */
  renewSlots(): void {
    this.generation++;
    const { layouts } = this.kernel;
    for (const slot of this.slots) {
      const bytes = this.kernel.bytes(slot);
      this.kernel.pairBytes(this.#pair(slot)).copy(bytes, layouts.slot.offset('pair'));
      bytes.writeUInt32LE(this.generation, layouts.slot.offset('generation'));
      bytes.writeBigUInt64LE(BigInt(this.kernel.nowNs), layouts.slot.offset('created_ns'));
    }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true });
  }

  #pair(slot: number): PairKey {
    const local = slot % LOCAL_PODS;
    const random = Math.imul(slot + 65_537 * this.generation, 0x9e3779b1) >>> 8;
    const key = { local: podAddress(local), cgroupId: this.#cgroupIds[local]!, netns: 4_026_532_000 + local };
    if (slot % 2 === 0) return { ...key, remote: vip(random % SERVICES), servicePort: 80 };
    const remote = podAddress(random % WORKLOADS);
    return { ...key, remote, servicePort: 8080, role: slot % 4 === 1 ? 'source' : 'destination' };
  }
}

function workloadFile(podUids: readonly string[]): string {
  const workloads = Array.from({ length: WORKLOADS }, (_, i) => {
    const app = `app-${i % SERVICES}`;
    const namespace = `ns${(i % SERVICES) % 50}`;
    return `- uid: Kubernetes//Pod/${namespace}/${app}-7c9f6d8b5-${i}
  name: ${app}-7c9f6d8b5-${i}
  namespace: ${namespace}
  serviceAccount: ${app}
  workloadName: ${app}
  canonicalName: ${app}
  canonicalRevision: v1
  workloadIps: ["${podAddress(i)}"]
  node: node-${i % 100}
  services: {"${serviceKey(i % SERVICES)}": {"80": 8080}}
${i < podUids.length ? `  podUids: ["${podUids[i]}"]\n` : ''}`;
  });
  const services = Array.from({ length: SERVICES }, (_, i) => {
    const [namespace, hostname] = serviceKey(i).split('/');
    return `- {name: app-${i}, namespace: ${namespace}, hostname: ${hostname}, vips: ["/${vip(i)}"], ports: {80: 8080}}\n`;
  });
  return `workloads:\n${workloads.join('')}services:\n${services.join('')}`;
}
