/** The foreign parts that the loader needs: koffi's native half, libbpf, the compiled kernel half. */
import { bpfObjectPath } from '../../build-info.ts';
import type { Finding } from './finding.ts';
import type { Machine } from './machine.ts';

const LIBBPF = 'libbpf.so.1';

export async function libraries(machine: Machine): Promise<Finding[]> {
  return [...(await foreignFunctions()), bpfObject(machine)];
}

async function foreignFunctions(): Promise<Finding[]> {
  let koffi: typeof import('koffi');
  try {
    koffi = await import('koffi');
  } catch (error) {
    return [
      {
        feature: 'koffi',
        ok: false,
        detail: firstLine(error),
        mend: `npm ci, without --omit=optional: the native part for ${process.platform}-${process.arch} is an optional dependency`,
      },
    ];
  }
  return [{ feature: 'koffi', ok: true, detail: koffi.version }, libbpf(koffi)];
}

function libbpf(koffi: typeof import('koffi')): Finding {
  try {
    const version = koffi.load(LIBBPF).func('const char *libbpf_version_string()');
    return { feature: 'libbpf', ok: true, detail: String(version()) };
  } catch (error) {
    return {
      feature: 'libbpf',
      ok: false,
      detail: firstLine(error),
      mend: `install ${LIBBPF}: apt-get install libbpf1 (Fedora: libbpf, Alpine: libbpf)`,
    };
  }
}

function bpfObject(machine: Machine): Finding {
  const path = bpfObjectPath();
  const ok = machine.readable(path);
  return {
    feature: 'kernel half',
    ok,
    detail: ok ? path : `${path} is missing or cannot be read`,
    mend: 'npm run build, or set TCPLEDGER_BPF_OBJECT to where tcpledger.bpf.o is',
  };
}

const firstLine = (error: unknown) => (error instanceof Error ? error.message : String(error)).split('\n')[0]!;
