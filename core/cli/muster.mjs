#!/usr/bin/env -S node --max-semi-space-size=2
// The `muster` command of a checkout or package: hands over to the compiled one. The flag is that of `distribution.ts`.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = new URL('../../.build/core/cli/main.js', import.meta.url);
if (existsSync(fileURLToPath(main))) await import(main.href);
else {
  process.stderr.write('Muster is not built yet. Run `npm run build` in its folder.\n');
  process.exitCode = 1;
}
