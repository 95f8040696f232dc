// Token and seed on disk. Nothing is written before there is a token, and both get their names together.

import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { stagedPath, syncFolder, writeDurably } from '../../wire/whole-file.ts';
import type { LoginFiles } from './config.ts';

const staleMs = 20_000;
const retries = { retries: 20, minTimeout: 50, maxTimeout: 500 };

export interface Kept {
  readonly token: string;
  /** Hex. */
  readonly seed: string;
}

/** While nobody else changes them. @throws Error if somebody else does for too long */
export async function whileLocked<T>(files: LoginFiles, work: () => T | Promise<T>): Promise<T> {
  mkdirSync(dirname(files.token), { recursive: true, mode: 0o700 });
  const { lock } = await import('proper-lockfile');
  const release = await lock(files.token, { realpath: false, stale: staleMs, retries });
  try {
    return await work();
  } finally {
    await release().catch(() => undefined);
  }
}

/** The seed first: a token without its seed is of no use, and the other way round it is replaced by the next login. */
export function keep(files: LoginFiles, { token, seed }: Kept): void {
  for (const path of [files.seed, files.token]) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const [stagedSeed, stagedToken] = [stagedPath(files.seed), stagedPath(files.token)];
  try {
    writeDurably(stagedSeed, seed, 0o600);
    writeDurably(stagedToken, token, 0o600);
    renameSync(stagedSeed, files.seed);
    renameSync(stagedToken, files.token);
  } catch (error) {
    for (const path of [stagedSeed, stagedToken]) rmSync(path, { force: true });
    throw error;
  }
  for (const folder of new Set([dirname(files.seed), dirname(files.token)])) syncFolder(folder);
}

/** @returns whether there was something */
export function forget(files: LoginFiles): boolean {
  const before = [files.token, files.seed].map((path) => remove(path));
  return before.includes(true);
}

function remove(path: string): boolean {
  try {
    rmSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
