// Where the compiled distribution lies: the folder with core, plugins, agents and ddl side by side.

import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `.build` of the checkout or package, whether this runs compiled or from source under test. */
export function distributionRoot(): string {
  const here = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
  return basename(here) === '.build' ? here : join(here, '.build');
}

/** Version and description of the package. */
export function packageInfo(): { readonly version: string; readonly description: string } {
  return JSON.parse(readFileSync(join(distributionRoot(), '../package.json'), 'utf8')) as {
    version: string;
    description: string;
  };
}

/**
 * Flags of Node for a host that serves: small semi-spaces keep it at two thirds of the memory that it would otherwise grow
 * to, for a few per cent of its speed. The first line of `core/cli/muster.mjs` says the same.
 */
export const nodeFlags: readonly string[] = ['--max-semi-space-size=2'];
