// Brings a checkout to the point where it runs: packages, build, nats-server. Does only what is out of date.
// Needs nothing but Node; it is what `npm start` and `npm test` run first.

import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const sourceDirs = ['core', 'plugins', 'agents', 'watchers', 'provisioning-hooks', 'ddl', 'test'];
const sourceFiles = ['package.json', 'package-lock.json', 'tsconfig.json', 'vitest.config.ts'];
const stamp = join(root, '.build/stamp');
const minimumNode = [20, 19];

/** @returns {Promise<{natsServer: string | undefined}>} the broker program that was found or unpacked */
export async function prepare({ log = (line) => process.stderr.write(`${line}\n`) } = {}) {
  checkNode();
  installPackages(log);
  await build(log);
  return { natsServer: provideNatsServer(log) };
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
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', root]);
  for (const dir of sourceDirs) copyAssets(dir);
  const { gatherCommands } = await import('../cli/manifest-commands.mjs');
  gatherCommands(join(root, '.build'));
  writeFileSync(stamp, '');
}

/** Everything that is not TypeScript (manifests, DDLs, scripts) goes beside the compiled code, so that `.build` runs by itself. */
function copyAssets(dir) {
  const from = join(root, dir);
  if (!existsSync(from)) return;
  cpSync(from, join(root, '.build', dir), {
    recursive: true,
    filter: (path) => statSync(path).isDirectory() || !path.endsWith('.ts') || path.endsWith('.d.ts'),
  });
}

/**
 * `NATS_SERVER`, then PATH, then the project's own `.tools`; where there is none, Debian's package is unpacked there.
 * Nothing is installed on the machine.
 */
function provideNatsServer(log) {
  const own = join(root, '.tools/nats-server');
  const found = [process.env.NATS_SERVER, ...onPath('nats-server'), own].find((path) => path && executable(path));
  if (found) return found;
  const work = mkdtempSync(join(mkdirSync(join(root, '.tools'), { recursive: true }) ?? join(root, '.tools'), 'unpack-'));
  try {
    log('Unpacking nats-server from the Debian package into .tools …');
    const got = spawnSync('apt-get', ['download', 'nats-server'], { cwd: work, stdio: 'ignore' });
    const archive = readdirSync(work).find((name) => name.endsWith('.deb'));
    if (got.status === 0 && archive && spawnSync('dpkg-deb', ['-x', archive, 'tree'], { cwd: work }).status === 0) {
      renameSync(join(work, 'tree/usr/sbin/nats-server'), own);
      return own;
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  log('No nats-server was found. Install it (for instance `apt-get install nats-server`) or set NATS_SERVER to its path.');
  return undefined;
}

function onPath(program) {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter(Boolean)
    .map((dir) => join(dir, program));
}

function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
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

if (process.argv[1] === fileURLToPath(import.meta.url)) await prepare();
