import { TcpledgerError } from '../collector/errors.ts';
import { errnoName } from './libbpf.ts';

/** Throws TCPL_E_KERNEL_FEATURE when the kernel has refused: `code` is a negative errno. `attempt` as `zero slot 7`. */
export function accepted(code: number, attempt: string): void {
  if (code >= 0) return;
  throw new TcpledgerError('TCPL_E_KERNEL_FEATURE', `cannot ${attempt}: the kernel answers ${errnoName(-code)}`);
}
