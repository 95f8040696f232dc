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
