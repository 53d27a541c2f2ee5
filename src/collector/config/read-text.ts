/** Reads a text file that a person wrote: bounded, UTF-8, with reasons an operator can act on. */
import { isUtf8 } from 'node:buffer';
import { open } from 'node:fs/promises';
import type { Mistake } from './mistake.ts';

/** Far above any real configuration, far below what would hurt: a device or a log file given by accident stops here. */
const LONGEST_TEXT = 1 << 20;

export type TextResult = { readonly text: string } | { readonly mistake: Mistake };

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist. Check the path, or write one: the package comes with otel-config.yaml as a start.',
  EACCES: 'this user may not read it. Give it read permission.',
  EISDIR: 'it is a directory. Name the file in it.',
};

/** Never rejects: what goes wrong is a mistake about the whole file, or the line of a byte that is no UTF-8. */
export async function readText(file: string): Promise<TextResult> {
  let bytes: Buffer;
  try {
    bytes = await readBounded(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = REASONS[code ?? ''] ?? `${message}.`;
    return { mistake: { line: 0, column: 0, path: '', message: `the file cannot be read: ${reason}` } };
  }
  if (!isUtf8(bytes)) return { mistake: notUtf8(bytes) };
  const text = bytes.toString('utf8');
  return { text: text.charCodeAt(0) === 0xfeff ? text.slice(1) : text };
}

async function readBounded(file: string): Promise<Buffer> {
  const handle = await open(file, 'r');
  try {
    const chunks: Buffer[] = [];
    let length = 0;
    for (;;) {
      // No position: a pipe (`--config <(command)`) has none.
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(65536), 0, 65536, null);
      if (bytesRead === 0) return Buffer.concat(chunks);
      length += bytesRead;
      if (length > LONGEST_TEXT)
        throw new Error(`it is longer than ${LONGEST_TEXT / 2 ** 20} MiB, so not a configuration`);
      chunks.push(buffer.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}

function notUtf8(bytes: Buffer): Mistake {
  let line = 1;
  let start = 0;
  for (;;) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline === -1 ? bytes.length : newline;
    if (!isUtf8(bytes.subarray(start, end))) break;
    line++;
    start = end + 1;
  }
  const message = 'the line holds bytes that are not UTF-8. Save the file as UTF-8.';
  return { line, column: 1, path: '', message };
}
