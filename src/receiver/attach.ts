/** Attaching the programs: those on the state hook for as long as the agent (or its pin) lives, adoption once. */
import { TcpledgerError } from '../collector/errors.ts';
import type { HOOKED_PROGRAMS, ProgramName } from './kernel.ts';
import { errnoName, type Libbpf, type Pointer } from './libbpf.ts';
import { loadFailure } from './load-failure.ts';
import type { Pins } from './pins.ts';

/** Attaches a program to the state hook, or takes over the one that an earlier agent pinned. */
export async function attachHooked(
  libbpf: Libbpf,
  name: (typeof HOOKED_PROGRAMS)[number],
  program: Pointer,
  pins: Pins | undefined,
  readLog: () => string,
): Promise<Pointer> {
  const pinned = pins?.linkPath(name);
  if (pins?.resumed && pinned) {
    const { link, errno } = libbpf.openLink(pinned);
    if (!link) throw pins.failure(pinned, errno);
    return link;
  }
  const link = await libbpf.attach(program);
  if (!link) throw loadFailure(0, readLog());
  if (pins && pinned) {
    const code = libbpf.pinLink(link, pinned);
    if (code < 0) {
      await libbpf.destroyLink(link);
      throw pins.failure(pinned, -code);
    }
  }
  return link;
}

/** Takes over the sockets that are older than the agent. Listeners first: they tell which end of a connection is which. */
export async function adoptOlder(libbpf: Libbpf, program: (name: ProgramName) => Pointer): Promise<void> {
  for (const name of ['tcpledger_adopt_listeners', 'tcpledger_adopt_connections'] as const) {
    const link = await libbpf.attachIterator(program(name));
    if (!link) throw refused(name, 'it cannot be attached');
    const code = await libbpf.runIterator(link);
    await libbpf.destroyLink(link);
    if (code < 0) throw refused(name, errnoName(-code));
  }
}

function refused(name: ProgramName, reason: string): TcpledgerError {
  return new TcpledgerError(
    'TCPL_E_KERNEL_FEATURE',
    `cannot adopt the connections that are already open: the kernel refuses the task_file iterator ${name} (${reason}). Set receivers.ebpf_tcp.adopt to false to go on without them.`,
  );
}
