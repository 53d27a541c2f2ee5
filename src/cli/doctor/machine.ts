/** What the checks ask the machine: an interface, so that they can be told about any kernel. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { release } from 'node:os';

export interface Machine {
  /** Undefined when there is no such file or it may not be read. */
  read(path: string): string | undefined;
  readable(path: string): boolean;
  /** As uname -r, `6.1.0-18-amd64`. */
  readonly kernelRelease: string;
  /** `20.20.2`. */
  readonly nodeVersion: string;
}

export const thisMachine: Machine = {
  read(path) {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
  },
  readable(path) {
    try {
      accessSync(path, constants.R_OK);
      return true;
    } catch {
      return false;
    }
  },
  kernelRelease: release(),
  nodeVersion: process.versions.node,
};
