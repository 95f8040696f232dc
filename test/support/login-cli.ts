// `muster` with something on standard input, as in a pipe of a shell.

import { spawn } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { distributionRoot } from '../../core/host/distribution.ts';
import type { Ran } from './command.ts';
import { temporaryFolder } from './folders.ts';

const main = join(distributionRoot(), 'core/cli/main.js');

/** @param input what is typed into it, from a file */
export async function runWithInput(
  args: readonly string[],
  input: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const { path, remove } = temporaryFolder();
  const file = join(path, 'input');
  writeFileSync(file, input, { mode: 0o600 });
  const stdin = openSync(file, 'r');
  try {
    const child = spawn(process.execPath, [main, ...args], {
      env: { ...process.env, NO_COLOR: '1', ...env },
      stdio: [stdin, 'pipe', 'pipe'],
    });
    let [out, err] = ['', ''];
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk;
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      err += chunk;
    });
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (status) => resolve(status ?? -1));
    });
    return { code, out, err };
  } finally {
    closeSync(stdin);
    remove();
  }
}
