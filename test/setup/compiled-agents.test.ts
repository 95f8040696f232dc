// What set-up does with agents in compiled languages: built where the tool chain is, left out and named where it is not.

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { temporaryFolder } from '../support/folders.ts';
import { needs, root } from '../support/languages.ts';

let checkout: string;
let remove: () => void;

beforeEach(() => {
  ({ path: checkout, remove } = temporaryFolder());
  cpSync(join(root, 'fixtures/sdk/go'), join(checkout, 'agents/shape'), { recursive: true });
  writeFileSync(
    join(checkout, 'agents/shape/go.mod'),
    'module shape\n\ngo 1.21\n\nrequire muster/sdk v0.0.0\n\nreplace muster/sdk => ../../core/sdk/go\n',
  );
  cpSync(join(root, 'core/sdk/go'), join(checkout, 'core/sdk/go'), { recursive: true });
  // What was compiled before need not be compiled again.
  for (const tools of [root, checkout]) mkdirSync(join(tools, '.tools'), { recursive: true });
  mkdirSync(join(root, '.tools/go-cache'), { recursive: true });
  symlinkSync(join(root, '.tools/go-cache'), join(checkout, '.tools/go-cache'));
  mkdirSync(join(checkout, 'agents/script'));
  writeFileSync(join(checkout, 'agents/script/bundle.yaml'), '');
});
afterEach(() => remove());

/** The lines that set-up says. */
function buildAgents(env: NodeJS.ProcessEnv = {}): string[] {
  const module = pathToFileURL(join(root, 'core/setup/compiled-agents.mjs')).href;
  const script = `import { buildAgents } from '${module}'; buildAgents(${JSON.stringify(checkout)}, console.log);`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  expect([status, status === 0 ? '' : stderr]).toEqual([0, '']);
  return stdout.split('\n').filter((line) => line !== '');
}
const built = () => join(checkout, '.build/agents/shape');

test('an agent is built beside its manifest, and again when it changed', () => {
  needs('go');
  expect(buildAgents()).toEqual(['Compiling agents/shape …']);
  expect(readdirSync(built()).sort()).toEqual(['bundle.yaml', 'shape']);
  expect(statSync(join(built(), 'shape')).mode & 0o111).not.toBe(0);
  expect(readdirSync(join(checkout, 'agents/shape')).sort()).toEqual(['bundle.yaml', 'go.mod', 'main.go']);
  expect(buildAgents()).toEqual([]);
  const later = Date.now() / 1000 + 60;
  utimesSync(join(checkout, 'core/sdk/go/plugin.go'), later, later);
  expect(buildAgents()).toEqual(['Compiling agents/shape …']);
}, 120_000);

test('without its tool chain it is left out, and one line says so', () => {
  const none = join(checkout, 'nothing');
  expect(buildAgents({ PATH: none })).toEqual(['agents/shape is left out: it needs go, which is not installed here.']);
  expect(existsSync(built())).toBe(false);
});

test('one that does not build is left out, also if it did before', () => {
  needs('go');
  buildAgents();
  expect(existsSync(built())).toBe(true);
  writeFileSync(join(checkout, 'agents/shape/main.go'), 'package main\n\nfunc main() { nonsense }\n');
  const later = Date.now() / 1000 + 60;
  utimesSync(join(checkout, 'agents/shape/main.go'), later, later);
  expect(buildAgents()).toEqual([
    'Compiling agents/shape …',
    'agents/shape is left out: go could not build it, and says above why.',
  ]);
  expect(existsSync(built())).toBe(false);
}, 120_000);
