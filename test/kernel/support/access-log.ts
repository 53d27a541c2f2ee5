/** Reads the access log in both of its formats, strictly. */
export interface LogLine {
  readonly time: string;
  readonly level: string;
  readonly message: string;
  /** In the order of the line. Numbers stay as they were written. */
  readonly fields: Readonly<Record<string, string | number>>;
}

const TEXT =
  /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)\t(info|error|debug)\taccess\t(connection (?:complete|opened))\t(.*)$/;
const FIELD = /([a-z_.]+)=(?:"((?:[^"\\]|\\.)*)"|([^" ]+))(?: |$)/y;

export function parseTextLine(line: string): LogLine {
  const head = TEXT.exec(line);
  if (head === null) throw new Error(`not a line of the access log: ${line}`);
  const [, time, level, message, rest] = head as unknown as [string, string, string, string, string];
  const fields: Record<string, string | number> = {};
  FIELD.lastIndex = 0;
  while (FIELD.lastIndex < rest.length) {
    const at = FIELD.lastIndex;
    const field = FIELD.exec(rest);
    if (field === null) throw new Error(`no field at column ${at + 1} of: ${rest}`);
    const [, name, quoted, bare] = field;
    if (name! in fields) throw new Error(`${name} twice in: ${rest}`);
    if (quoted !== undefined) fields[name!] = JSON.parse(`"${quoted}"`) as string;
    else fields[name!] = /^\d+$/.test(bare!) ? Number(bare) : bare!;
  }
  return { time, level, message, fields };
}

export function parseJsonLine(line: string): LogLine {
  const { level, time, scope, message, ...fields } = JSON.parse(line) as Record<string, string>;
  if (scope !== 'access' || level === undefined || time === undefined || message === undefined) {
    throw new Error(`not a line of the access log: ${line}`);
  }
  return { time, level, message, fields };
}

/** Whole lines of a log file's content; a last line that is still being written is left out. */
export function parseLog(content: string, parse: (line: string) => LogLine = parseJsonLine): LogLine[] {
  return content.split('\n').slice(0, -1).map(parse);
}
