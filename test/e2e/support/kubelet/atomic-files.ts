/**
 * The files of a volume as a kubelet writes them, all at once: the names are links through `..data`, which is turned to a
 * new directory by one rename. No file is ever written in place.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';

export function writeFiles(volume: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(volume, { recursive: true });
  const data = join(volume, '..data');
  const old = existsSync(data) ? readlinkSync(data) : undefined;
  const fresh = mkdtempSync(join(volume, `..${new Date().toISOString().replaceAll(/[-:.TZ]/g, '_')}.`));
  chmodSync(fresh, 0o755);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(fresh, name), text, { mode: 0o644 });
  symlinkSync(basename(fresh), `${data}_tmp`);
  renameSync(`${data}_tmp`, data);
  for (const name of readdirSync(volume)) {
    if (!name.startsWith('..') && !(name in files)) rmSync(join(volume, name));
  }
  for (const name of Object.keys(files)) {
    if (!existsSync(join(volume, name))) symlinkSync(join('..data', name), join(volume, name));
  }
  if (old !== undefined) rmSync(join(volume, old), { recursive: true });
}
