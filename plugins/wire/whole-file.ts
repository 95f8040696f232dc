// Files that are there whole or not at all, whatever ends the process or fills the disk meanwhile.

import { chmodSync, closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

const stagedEnd = '.muster-new';

/** Where it is written before it gets its name. */
export function stagedPath(path: string): string {
  return `${path}${stagedEnd}`;
}

/** A file in one step: whoever reads it has the old one or the new one. */
export function writeWhole(path: string, contents: string, mode: number): void {
  const staged = stagedPath(path);
  try {
    writeDurably(staged, contents, mode);
    renameSync(staged, path);
  } catch (error) {
    rmSync(staged, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

/** On disk when it returns; nobody else can read it before it has its mode. */
export function writeDurably(path: string, contents: string, mode: number): void {
  // One that was left there may be readable by others.
  rmSync(path, { recursive: true, force: true });
  const fd = openSync(path, 'wx', 0o600);
  try {
    const bytes = Buffer.from(contents);
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  chmodSync(path, mode);
}

export function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
