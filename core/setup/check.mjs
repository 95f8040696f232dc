// What `npm test` runs: linter, then every test. Types were checked by the build. `--full` runs the longer tests instead.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './prepare.mjs';
import { providePeers } from './tools.mjs';

const full = process.argv.includes('--full');
const bin = (name) => join(root, 'node_modules/.bin', name);
const steps = full
  ? [[bin('vitest'), ['run', '--project', 'full']]]
  : [
      [bin('biome'), ['check', '.']],
      [bin('vitest'), ['run', '--project', 'test']],
    ];
// A peer that can't be had is named by the tests that need it.
if (full) providePeers(root, (line) => process.stderr.write(`${line}\n`));
for (const [command, args] of steps) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
