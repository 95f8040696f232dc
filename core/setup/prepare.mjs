// Brings a checkout to the point where it runs: packages, build, nats-server; for `npm run build` and `npm test` also agents
// in compiled languages, and ruby. Does only what is out of date. Needs nothing but Node.

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAgents, compiledAgents } from './compiled-agents.mjs';
import { provideNatsServer, provideRuby } from './tools.mjs';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
/** Those with bundles in them. */
const bundleDirs = ['plugins', 'agents', 'provisioning-hooks'];
const sourceDirs = ['core', 'plugins', 'agents', 'watchers', 'provisioning-hooks', 'ddl', 'test'];
const sourceFiles = ['package.json', 'package-lock.json', 'tsconfig.json', 'vitest.config.ts'];
const stamp = join(root, '.build/stamp');
const minimumNode = [20, 19];

/**
 * @param {{ everything?: boolean, log?: (line: string) => void }} options `everything` is what tests want, and a first try must
 *   not wait for: other languages
 * @returns {Promise<{natsServer: string | undefined, ruby: string | undefined}>} the broker program, and the folder with ruby
 */
export async function prepare({ everything = false, log = (line) => process.stderr.write(`${line}\n`) } = {}) {
  checkNode();
  installPackages(log);
  await build(log);
  if (everything) buildAgents(root, log);
  return { natsServer: provideNatsServer(root, log), ruby: everything ? provideRuby(root, log) : undefined };
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > minimumNode[0] || (major === minimumNode[0] && minor >= minimumNode[1])) return;
  fail(
    `Node ${minimumNode.join('.')} or later is needed, this is ${process.versions.node}. Install a newer one, then run the command again.`,
  );
}

function installPackages(log) {
  const installed = join(root, 'node_modules/.package-lock.json');
  if (modified(installed) >= modified(join(root, 'package-lock.json'))) return;
  log('Installing packages (npm ci) …');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}

async function build(log) {
  if (modified(stamp) >= newestSource()) return;
  log('Building …');
  const { compileSchemas } = await import('./compile-schemas.mjs');
  await compileSchemas(root);
  compileSources();
  for (const dir of sourceDirs) copyAssets(dir);
  await writeManifests();
  const { gatherCommands } = await import('../cli/manifest-commands.mjs');
  gatherCommands(join(root, '.build'), bundleDirs);
  writeFileSync(stamp, '');
}

function compileSources() {
  const compiler = [join(root, 'node_modules/typescript/bin/tsc'), '-p', root];
  const remembered = join(root, '.build/tsconfig.tsbuildinfo');
  if (existsSync(remembered) && spawnSync(process.execPath, compiler, { stdio: 'ignore' }).status === 0) return;
  // What the compiler remembers may come from a run when something was missing, so that an error counts when all is looked at.
  rmSync(remembered, { force: true });
  run(process.execPath, compiler);
}

/** Everything that is not TypeScript (manifests, DDLs, scripts) goes beside the compiled code, so that `.build` runs by itself. */
function copyAssets(dir) {
  const from = join(root, dir);
  if (!existsSync(from)) return;
  // Without their program they are of no use to a node.
  const compiled = new Set(compiledAgents(root).map(({ source }) => source));
  cpSync(from, join(root, '.build', dir), {
    recursive: true,
    filter: (path) => (statSync(path).isDirectory() ? !compiled.has(path) : !path.endsWith('.ts') || path.endsWith('.d.ts')),
  });
}

/** The manifests of the first-party bundles as JSON, which a host reads many times faster and every command has to read. */
async function writeManifests() {
  const { parse } = await import('yaml');
  for (const folder of bundleDirs.map((name) => join(root, '.build', name))) {
    for (const name of readdirSync(folder)) {
      const file = join(folder, name, 'bundle.yaml');
      if (existsSync(file)) writeFileSync(file, JSON.stringify(parse(readFileSync(file, 'utf8'))));
    }
  }
}

function newestSource() {
  const files = sourceDirs
    .filter((dir) => existsSync(join(root, dir)))
    .flatMap((dir) => [dir, ...readdirSync(join(root, dir), { recursive: true }).map((name) => join(dir, name))]);
  return Math.max(...[...sourceFiles, ...files].map((file) => modified(join(root, file))));
}

function modified(path) {
  return existsSync(path) ? statSync(path).mtimeMs : 0;
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (error) fail(`${command} could not be started: ${error.message}`);
  if (status !== 0) fail(`${command} ${args.join(' ')} failed; its output above says why.`);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await prepare({ everything: true });
