/** `tcpledger validate`: every mistake of a configuration on stderr, one a line, as `FILE:LINE:COLUMN: KEY: what is wrong`. */
import { validateConfigFile } from '../../collector/config/load.ts';
import { ERROR_CODES } from '../../collector/errors.ts';
import type { OptionValues } from '../arguments.ts';
import { FACTORIES } from '../components.ts';
import { configFile } from '../config-file.ts';

export async function validate(options: OptionValues): Promise<number> {
  const file = configFile(options);
  const lines = await validateConfigFile(file, FACTORIES, process.env);
  if (lines.length === 0) {
    process.stdout.write(`${file}: no mistakes\n`);
    return 0;
  }
  for (const line of lines) process.stderr.write(`tcpledger: TCPL_E_CONFIG: ${line}\n`);
  return ERROR_CODES.TCPL_E_CONFIG;
}
