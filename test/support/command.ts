// The `muster` command as an operator runs it: a process with a configuration file.

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { distributionRoot } from '../../core/host/distribution.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Of what a command prints. */
const maxBuffer = 64 * 1024 * 1024;
const main = join(distributionRoot(), 'core/cli/main.js');

export function runMuster(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [main, ...args],
      { env: { ...process.env, NO_COLOR: '1', ...env }, maxBuffer },
      (error, out, err) => resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
    );
  });
}

/** Writes values as a configuration file and returns its path. */
export function writeConfig(folder: string, name: string, values: Readonly<Record<string, unknown>>): string {
  const path = join(folder, name);
  const lines = Object.entries(values).map(([key, value]) => `${key} = ${value}\n`);
  writeFileSync(path, lines.join(''), { mode: 0o600 });
  return path;
}
