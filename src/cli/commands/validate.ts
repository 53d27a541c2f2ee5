/** `tcpledger validate`: every mistake of a configuration, one a line, as `FILE:LINE:COLUMN: KEY: what is wrong`. */
import { validateConfigFile } from '../../collector/config/load.ts';
import { TcpledgerError } from '../../collector/errors.ts';
import type { OptionValues } from '../arguments.ts';
import { FACTORIES } from '../components.ts';
import { configFile } from '../config-file.ts';

/** @throws TcpledgerError TCPL_E_CONFIG with a line for each mistake */
export async function validate(options: OptionValues): Promise<number> {
  const file = configFile(options);
  const mistakes = await validateConfigFile(file, FACTORIES, process.env);
  if (mistakes.length > 0) throw new TcpledgerError('TCPL_E_CONFIG', mistakes.join('\n'));
  process.stdout.write(`${file}: no mistakes\n`);
  return 0;
}
