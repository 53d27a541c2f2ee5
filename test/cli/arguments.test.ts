import { describe, expect, it } from 'vitest';
import { parseArguments } from '../../src/cli/arguments.ts';
import { help } from '../../src/cli/help.ts';
import { TcpledgerError } from '../../src/collector/errors.ts';

function refusal(...args: string[]): string {
  try {
    parseArguments(args);
  } catch (error) {
    if (error instanceof TcpledgerError && error.exitCode === 2) return error.message;
    throw error;
  }
  throw new Error(`${args.join(' ')} was accepted`);
}

describe('the command line', () => {
  it('gives the command and the values of its options', () => {
    const invocation = parseArguments(['run', '--config', 'a.yaml']);
    expect(invocation).toMatchObject({ kind: 'command', command: { name: 'run' }, options: { config: 'a.yaml' } });
  });

  it('takes --option=value, and the last of two', () => {
    expect(parseArguments(['validate', '--config=a.yaml', '--config', 'b.yaml'])).toMatchObject({
      options: { config: 'b.yaml' },
    });
  });

  it.each([['--help'], ['-h'], ['help'], ['run', '--help'], ['doctor', '-h']])('%s %s asks for help', (...args) => {
    expect(parseArguments(args.filter(Boolean))).toEqual({ kind: 'help' });
  });

  it.each([['--version'], ['-v']])('%s asks for the version', (flag) => {
    expect(parseArguments([flag])).toEqual({ kind: 'version' });
  });

  it('refuses what it does not know, with the nearest word that it does', () => {
    expect(refusal()).toBe('no command is given. See tcpledger --help.');
    expect(refusal('validat')).toBe('unknown command "validat". Did you mean "validate"? See tcpledger --help.');
    expect(refusal('frobnicate')).toBe('unknown command "frobnicate". See tcpledger --help.');
    expect(refusal('--versoin')).toBe('unknown option "--versoin". Did you mean "--version"? See tcpledger --help.');
    expect(refusal('run', '--confg', 'a')).toBe(
      'run has no option "--confg". Did you mean "--config"? See tcpledger --help.',
    );
    expect(refusal('components', '--config', 'a')).toBe('components has no option "--config". See tcpledger --help.');
    expect(refusal('run', 'a.yaml')).toBe('run takes no argument "a.yaml". See tcpledger --help.');
    expect(refusal('run', '--config')).toBe('run --config needs a value: --config FILE. See tcpledger --help.');
    expect(refusal('run', '--config=')).toBe('run --config needs a value: --config FILE. See tcpledger --help.');
  });

  it('names every command, option and exit code in the help', () => {
    for (const word of ['run', 'validate', 'doctor', 'components', '--config FILE', '--version']) {
      expect(help()).toContain(`  ${word} `);
    }
    for (const code of [0, 1, 2, 3]) expect(help()).toMatch(new RegExp(`^ {2}${code} {2}\\S`, 'm'));
  });
});
