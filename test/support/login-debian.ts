// Programs of Debian, from PATH or unpacked into `.tools`: nothing is installed on the machine.

import { join } from 'node:path';
import { root } from './languages.ts';

interface Provided {
  readonly programs: readonly string[];
  readonly tree: string | undefined;
  readonly env: Readonly<Record<string, string>>;
}

/** @throws Error that names what is missing */
export async function provided(name: 'chromium' | 'slapd' | 'softhsm'): Promise<Provided> {
  const { provideDebian } = (await import(join(root, 'core/setup/tools.mjs'))) as {
    provideDebian: (root: string, name: string, log: (line: string) => void) => Provided | undefined;
  };
  const found = provideDebian(root, name, (line) => process.stderr.write(`${line}\n`));
  if (found) return found;
  throw new Error(`this test needs ${name}, which is neither on PATH nor can it be unpacked from Debian's packages; install it`);
}
