/** The command line: `tcpledger COMMAND [--option VALUE]`, strict, with the nearest known word for a mistyped one. */
import { parseArgs } from 'node:util';
import { TcpledgerError } from '../collector/errors.ts';
import { suggestion } from '../collector/schema/nearest.ts';
import { COMMANDS, type Command } from './commands.ts';

/** Values by option name; an option that was not given is absent. The last one wins. */
export type OptionValues = Readonly<Record<string, string>>;

export type Invocation =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'command'; readonly command: Command; readonly options: OptionValues };

const HINT = 'See tcpledger --help.';

/**
 * @param args without the interpreter and the script
 * @throws TcpledgerError TCPL_E_ARGUMENTS
 */
export function parseArguments(args: readonly string[]): Invocation {
  const [name, ...rest] = args;
  if (name === undefined) throw mistake('no command is given');
  if (name === '--version' || name === '-v') return { kind: 'version' };
  if (name === '--help' || name === '-h' || name === 'help' || rest.includes('--help') || rest.includes('-h')) {
    return { kind: 'help' };
  }
  const command = COMMANDS.find((each) => each.name === name);
  if (command === undefined) {
    const known = COMMANDS.map((each) => each.name);
    const what = name.startsWith('-') ? 'option' : 'command';
    throw mistake(
      `unknown ${what} ${JSON.stringify(name)}.${suggestion(name, what === 'option' ? TOP_OPTIONS : known)}`,
    );
  }
  return { kind: 'command', command, options: parseOptions(command, rest) };
}

const TOP_OPTIONS = ['--help', '--version'];

function parseOptions(command: Command, args: readonly string[]): OptionValues {
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(command.options.map((option) => [option.name, { type: 'string' as const }])),
    strict: false,
    tokens: true,
  });
  const values: Record<string, string> = {};
  for (const token of tokens) {
    if (token.kind === 'positional') {
      throw mistake(`${command.name} takes no argument ${JSON.stringify(token.value)}.`);
    }
    if (token.kind === 'option-terminator') continue;
    const known = command.options.find((option) => option.name === token.name);
    if (known === undefined) {
      const near = suggestion(
        token.rawName,
        command.options.map((option) => `--${option.name}`),
      );
      throw mistake(`${command.name} has no option ${JSON.stringify(token.rawName)}.${near}`);
    }
    if (token.value === undefined || token.value === '') {
      throw mistake(`${command.name} --${known.name} needs a value: --${known.name} ${known.value}.`);
    }
    values[known.name] = token.value;
  }
  return values;
}

const mistake = (message: string) =>
  new TcpledgerError('TCPL_E_ARGUMENTS', `${message.replace(/([^.?])$/, '$1.')} ${HINT}`);
