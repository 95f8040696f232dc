// Configuration files of an overlay.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { IssuedFiles } from './ca.ts';

/** @returns the file */
export function write(file: string, lines: readonly string[], mode = 0o644): string {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${lines.join('\n')}\n`, { mode });
  return file;
}

/** Lines that say who a part of it is. */
export function security({ cert, key, ca }: IssuedFiles): string[] {
  return [
    'plugin.security.provider = file',
    `plugin.security.file.certificate = ${cert}`,
    `plugin.security.file.key = ${key}`,
    `plugin.security.file.ca = ${ca}`,
  ];
}
