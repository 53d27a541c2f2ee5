/** The text of `tcpledger --help`, made from the table of commands. */
import { COMMANDS } from './commands.ts';

export function help(): string {
  const width = Math.max(...COMMANDS.map((command) => command.name.length)) + 2;
  const commands = COMMANDS.map((command) => `  ${command.name.padEnd(width)}${command.summary}`);
  const options = new Map<string, { help: string; of: string[] }>();
  for (const command of COMMANDS) {
    for (const option of command.options) {
      const text = `--${option.name} ${option.value}`;
      const row = options.get(text) ?? { help: option.help, of: [] };
      row.of.push(command.name);
      options.set(text, row);
    }
  }
  const optionRows = [...options].map(([text, { help, of }]) => `  ${text}  ${help}; for ${of.join(', ')}`);
  return [
    "tcpledger: an exact ledger of every TCP connection on this node, in OpenTelemetry's pipeline and Istio's words.",
    '',
    'usage: tcpledger COMMAND [options]',
    '',
    'commands',
    ...commands,
    '',
    'options',
    ...optionRows,
    '  --help         this text',
    '  --version      the version',
    '',
    'exit codes',
    '  0  stopped, or all is well',
    '  1  runtime failure',
    '  2  bad configuration or arguments',
    '  3  the kernel or the privileges do not allow it',
    '',
  ].join('\n');
}
