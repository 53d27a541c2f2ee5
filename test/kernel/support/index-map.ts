/** The pairs that a running agent's kernel half keeps, read by bpftool from its map `index`. */
import { readdirSync, readFileSync } from 'node:fs';
import { addressFromBytes } from '../../../src/semconv/address.ts';
import { run } from './command.ts';

export interface KeptPair {
  readonly role: 'source' | 'destination';
  readonly remote: string;
  /** `address:port`; undefined if the application dialled what it was connected to. */
  readonly dialled: string | undefined;
}

interface DumpedPair {
  readonly remote_ip: readonly number[];
  readonly cgroup_id: number;
  readonly service_port: number;
  readonly role: number;
  readonly dialled_ip: readonly number[];
  readonly dialled_port: number;
}

/** Those whose local end is in that cgroup. */
export async function pairsOfCgroup(agentPid: number, cgroupId: bigint): Promise<KeptPair[]> {
  const dump = await run('bpftool', ['-j', 'map', 'dump', 'id', await indexOf(agentPid)]);
  const entries = JSON.parse(dump) as { formatted: { key: DumpedPair } }[];
  return entries
    .map(({ formatted }) => formatted.key)
    .filter((pair) => BigInt(pair.cgroup_id) === cgroupId)
    .map((pair) => ({
      role: pair.role === 1 ? 'source' : 'destination',
      remote: `${addressOf(pair.remote_ip)}:${pair.service_port}`,
      dialled: pair.dialled_ip.some((byte) => byte !== 0)
        ? `${addressOf(pair.dialled_ip)}:${pair.dialled_port}`
        : undefined,
    }));
}

const addressOf = (bytes: readonly number[]): string => addressFromBytes(Uint8Array.from(bytes))!;

/** The map's number, among those that the agent holds. */
async function indexOf(pid: number): Promise<string> {
  for (const descriptor of readdirSync(`/proc/${pid}/fdinfo`)) {
    const id = /^map_id:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8'))?.[1];
    if (id === undefined) continue;
    const { name } = JSON.parse(await run('bpftool', ['-j', 'map', 'show', 'id', id])) as { name?: string };
    if (name === 'index') return id;
  }
  throw new Error(`process ${pid} holds no BPF map called index`);
}
