/** One line of `tcpledger doctor`, and the exit code that comes of all of them. */
import { ERROR_CODES, type ErrorCode } from '../../collector/errors.ts';

export interface Finding {
  readonly feature: string;
  readonly ok: boolean;
  /** What was found. */
  readonly detail: string;
  /** What to do about it, when it is not ok. */
  readonly mend?: string;
  /** The agent runs without it, with less to tell. */
  readonly optional?: boolean;
  /** What `run` would say for want of it; absent: TCPL_E_KERNEL_FEATURE. */
  readonly code?: ErrorCode;
}

/** What keeps the agent from running. */
export const obstacles = (findings: readonly Finding[]): readonly Finding[] =>
  findings.filter(({ ok, optional }) => !ok && optional !== true);

/** As `run` meets them: the configuration, then the kernel and the privileges, then all else. */
const EXIT_CODES = [ERROR_CODES.TCPL_E_CONFIG, ERROR_CODES.TCPL_E_KERNEL_FEATURE, ERROR_CODES.TCPL_E_INTERNAL];

/** What `run` would end with; 0 if the agent can run. */
export function exitCode(findings: readonly Finding[]): number {
  const codes = obstacles(findings).map(({ code = 'TCPL_E_KERNEL_FEATURE' }) => ERROR_CODES[code]);
  return EXIT_CODES.find((code) => codes.includes(code)) ?? 0;
}
