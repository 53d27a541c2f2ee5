/** The table of commands. A command's code, and with it the kernel loader, is read only when the command is given. */
import type { OptionValues } from './arguments.ts';

export interface Option {
  readonly name: string;
  /** What the value is, for the help, as FILE. */
  readonly value: string;
  readonly help: string;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly Option[];
  /** Resolves to the exit code. Rejects with a TcpledgerError for what the user must know. */
  readonly load: () => Promise<(options: OptionValues) => Promise<number>>;
}

const CONFIG: Option = {
  name: 'config',
  value: 'FILE',
  help: 'the configuration (otel-config.yaml here, else the one beside the package)',
};

export const COMMANDS: readonly Command[] = [
  {
    name: 'run',
    summary: 'the agent: counts, serves the metrics, writes the access log, until SIGINT or SIGTERM',
    options: [CONFIG],
    load: async () => (await import('./commands/run.ts')).run,
  },
  {
    name: 'validate',
    summary: 'checks a configuration: every error with file, line and what is allowed',
    options: [CONFIG],
    load: async () => (await import('./commands/validate.ts')).validate,
  },
  {
    name: 'doctor',
    summary: 'what this kernel and these privileges allow, with the mend for what is missing',
    options: [CONFIG],
    load: async () => (await import('./commands/doctor.ts')).doctor,
  },
  {
    name: 'components',
    summary: 'the receivers, processors, exporters and extensions that this build has',
    options: [],
    load: async () => (await import('./commands/components.ts')).components,
  },
];
