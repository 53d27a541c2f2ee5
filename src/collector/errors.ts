/**
 * The one table of coded errors. A message says what was attempted, on what, why it failed and what to do; the code is
 * what an operator searches for. Exit codes: 1 runtime failure, 2 bad configuration or arguments, 3 the kernel or the
 * privileges do not allow it.
 */
export const ERROR_CODES = {
  TCPL_E_ARGUMENTS: 2,
  TCPL_E_CONFIG: 2,
  TCPL_E_LIBBPF: 3,
  TCPL_E_BPF_OBJECT: 3,
  TCPL_E_BTF: 3,
  TCPL_E_PRIVILEGE: 3,
  TCPL_E_KERNEL_FEATURE: 3,
  TCPL_E_PIN: 1,
  TCPL_E_ENDPOINT: 1,
  TCPL_E_OUTPUT: 1,
  TCPL_E_STORAGE: 1,
  TCPL_E_INTERNAL: 1,
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export class TcpledgerError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'TcpledgerError';
    this.code = code;
  }

  get exitCode(): number {
    return ERROR_CODES[this.code];
  }
}
