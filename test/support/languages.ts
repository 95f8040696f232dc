// Programs that plugins in other languages need: found by name, or named with what to do.

import { execFile, spawnSync } from 'node:child_process';
import { accessSync, constants, cpSync, mkdirSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { distributionRoot } from '../../core/host/distribution.ts';

/** The checkout, whether this runs compiled or from source. */
export const root = join(distributionRoot(), '..');

const remedies = {
  go: 'install Go 1.21 or later, for instance from https://go.dev/dl',
  cargo: 'install Rust 1.80 or later, for instance from https://rustup.rs',
  ruby: 'apt-get install ruby',
} as const;

/** Puts a program on the PATH of this process, which hosts hand on. @throws Error that says how to come by it */
export function needs(program: keyof typeof remedies): void {
  const has = (folder: string) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  };
  const path = process.env.PATH ?? '';
  if (path.split(delimiter).some(has)) return;
  // What set-up unpacks.
  const own = join(root, '.tools', program, 'bin');
  if (!has(own)) throw new Error(`this test needs ${program}: ${remedies[program]}`);
  process.env.PATH = `${path}${delimiter}${own}`;
}

/** Builds the program of a bundle into `output`, with the caches that set-up uses. @throws Error with what the compiler says */
export function compile(language: 'go' | 'rust', source: string, output: string): void {
  needs(language === 'go' ? 'go' : 'cargo');
  const caches = { GOCACHE: join(root, '.tools/go-cache'), CARGO_TARGET_DIR: join(root, '.tools/cargo') };
  const [command, ...args] = language === 'go' ? ['go', 'build', '-o', output, '.'] : ['cargo', 'build', '--release', '--quiet'];
  const { status, stderr } = spawnSync(command ?? '', args, {
    cwd: source,
    encoding: 'utf8',
    env: { ...process.env, ...caches },
  });
  if (status !== 0) throw new Error(`${source} could not be built: ${stderr}`);
  if (language === 'rust') cpSync(join(caches.CARGO_TARGET_DIR, 'release', basename(output)), output);
}

/** What `muster plugin new` writes into a folder, as a user calls it; returns what it prints. */
export async function pluginNew(into: string, kind: string, name: string, language: string): Promise<string> {
  const main = join(distributionRoot(), 'core/cli/main.js');
  const args = [main, 'plugin', 'new', kind, name, '--lang', language];
  return (await promisify(execFile)(process.execPath, args, { cwd: into })).stdout;
}

/** The bundle `shape` in a language, whole, below `parent`. */
export function shapeBundle(language: string, parent: string): string {
  const source = join(root, 'fixtures/sdk', language);
  const target = join(parent, 'shape');
  mkdirSync(target, { recursive: true });
  if (language === 'go' || language === 'rust') {
    compile(language, source, join(target, 'shape'));
    cpSync(join(source, 'bundle.yaml'), join(target, 'bundle.yaml'));
  } else {
    if (language === 'ruby') needs('ruby');
    cpSync(source, target, { recursive: true });
  }
  return target;
}
