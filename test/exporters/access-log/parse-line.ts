/** Reads lines back, strictly: an account of the two formats (telemetry.md §2) that shares no code with the printers. */
import { ADDRESS_FIELDS } from '../../../src/semconv/log-record.ts';

export interface ParsedLine {
  readonly time: string;
  readonly level: string;
  readonly scope: string;
  readonly message: string;
  /** In the line's order. */
  readonly fields: readonly (readonly [string, string | number])[];
}

const FIELD = /([a-z_.]+)=(?:("(?:[^"\\]|\\.)*")|([^ "]*))(?: |$)/y;

export function parseText(line: string): ParsedLine {
  const head = line.split('\t', 5);
  if (!line.endsWith('\n') || head.length !== 5) throw new Error(`not a line of five columns: ${JSON.stringify(line)}`);
  const [time, level, scope, message] = head as [string, string, string, string];
  const rest = line.slice(time.length + level.length + scope.length + message.length + 4, -1);
  const fields: [string, string | number][] = [];
  FIELD.lastIndex = 0;
  while (FIELD.lastIndex < rest.length) {
    const at = FIELD.lastIndex;
    const match = FIELD.exec(rest);
    if (match === null) throw new Error(`no field at ${at} of ${JSON.stringify(rest)}`);
    const [, name, quoted, bare] = match;
    if (quoted !== undefined) fields.push([name!, JSON.parse(quoted) as string]);
    else fields.push([name!, ADDRESS_FIELDS.has(name!) ? bare! : Number(bare)]);
  }
  return { time, level, scope, message, fields };
}

export function parseJson(line: string): ParsedLine {
  if (!line.endsWith('\n')) throw new Error(`not a whole line: ${JSON.stringify(line)}`);
  const [level, time, scope, message, ...fields] = Object.entries(JSON.parse(line) as Record<string, string | number>);
  const head = (entry: [string, string | number] | undefined, name: string): string => {
    if (entry?.[0] !== name) throw new Error(`${name} is not in its place in ${line}`);
    return entry[1] as string;
  };
  return {
    time: head(time, 'time'),
    level: head(level, 'level'),
    scope: head(scope, 'scope'),
    message: head(message, 'message'),
    fields,
  };
}
