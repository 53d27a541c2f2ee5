/**
 * What an identity source is: it fills its shelf of the directory with what it knows, as it learns it. Sources are
 * plugged in by a row in sources/registry.ts; their order in the configuration is the order in which they answer.
 */
import type { Logger } from '../collector/logger.ts';
import type { Schema } from '../collector/schema.ts';
import type { Telemetry } from '../collector/telemetry.ts';
import type { Pair } from '../receiver/types.ts';
import type { Address } from '../semconv/address.ts';
import type { Clock } from './clock.ts';
import type { Directory, Shelf } from './directory.ts';
import type { CgroupTree } from './sources/cgroup-tree.ts';
import type { Workload } from './types.ts';

export interface Source {
  readonly shelf: Shelf;
  /** It may come to know remote ends: one that nobody knows waits for it, up to the time-out. */
  readonly namesRemoteEnds: boolean;
  /**
   * Its local ends, or their containers, are told by cgroup: one that the tree has not seen yet is waited for, until
   * the next walk is over. It has started the tree.
   */
  readonly usesCgroups: boolean;
  /** Fills the shelf, or begins to. Rejects with a TcpledgerError where the configuration is at fault. */
  start(): Promise<void>;
  /** A lookup found nobody at this address: a source that learns on demand asks for it. Called for every such lookup. */
  wants?(address: Address): void;
  /** What it still lacks, in words for /readyz; undefined once it has its state. */
  missing(): string | undefined;
  /** The local end, by what only the pair itself tells (its executable), when no source has an object for it. */
  byProcess?(pair: Pair): Workload | undefined;
  shutdown(): Promise<void>;
}

/** What sources are created with. */
export interface SourceSettings {
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly directory: Directory;
  /** One tree for all sources; a source that names by cgroup starts it. */
  readonly cgroups: CgroupTree;
  /** To be called when `missing` may say something else, but for a shelf that becomes synced. */
  readonly readinessChanged: () => void;
}

export interface SourceType<Config = unknown> {
  /** Its name in `sources`, and the key of its section. */
  readonly type: string;
  readonly description: string;
  /** Where each key has a default, the section may be left out. */
  readonly schema: Schema<Config>;
  /** True if pairs must be told apart by the local end's executable. */
  readonly needsExecutable: boolean;
  create(settings: SourceSettings, config: Config): Source;
  /** For `tcpledger doctor`: what this machine lets the source do. Never rejects. */
  describe(config: Config): Promise<SourceReport>;
}

export interface SourceReport {
  readonly ok: boolean;
  /** As it is, the agent does not start: `start` of the source rejects. */
  readonly fatal?: boolean;
  /** One line: what works, or what fails and the mend for it. */
  readonly text: string;
}
