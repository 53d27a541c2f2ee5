/** What the build knows about itself. The constants are set by esbuild and by vitest.config.ts (scripts/lib/defines.mjs). */
import { join } from 'node:path';

declare const __TCPLEDGER_VERSION__: string;
/** Directory of the bundle; in tests the project's dist/. */
declare const __TCPLEDGER_DIST__: string;

export const VERSION: string = __TCPLEDGER_VERSION__;

/** Root of the installed package, where otel-config.yaml lies. */
export const PACKAGE_ROOT: string = join(__TCPLEDGER_DIST__, '..');

/**
 * Where the kernel half is: beside the bundle, or where TCPLEDGER_BPF_OBJECT says (a program that bundles this package
 * into a file of its own must say it).
 */
export function bpfObjectPath(): string {
  return process.env.TCPLEDGER_BPF_OBJECT || join(__TCPLEDGER_DIST__, 'tcpledger.bpf.o');
}
