// Puts files in place on a disk of its own, which may be too small, and prints how that ended and what is there then.

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const [module, folder, plan] = process.argv.slice(2);
const { place, settlePlacement, stage } = await import(module);

const contents = () =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => [relative(folder, join(parentPath, name)), readFileSync(join(parentPath, name), 'utf8')])
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );

const before = contents();
let error = null;
try {
  stage(folder, JSON.parse(plan));
  place(folder);
} catch (problem) {
  error = problem.code;
}
const after = contents();
process.stdout.write(JSON.stringify({ error, before, after, settled: settlePlacement(folder) ?? null, later: contents() }));
