// A bundle on disk: find, verify, load. Nothing half-copied gets past here.

import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { type Contract, createContract } from '../protocol/contract.ts';
import { loadYaml } from '../protocol/yaml.ts';
import { type Manifest, parseManifest } from './manifest.ts';
import { createSpec, type PluginSpec } from './spec.ts';

export const manifestName = 'bundle.yaml';

export class BundleError extends Error {
  override readonly name = 'BundleError';
  readonly code: 'BUNDLE_UNREADABLE' | 'BUNDLE_INCOMPLETE';

  constructor(code: BundleError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export interface Bundle {
  readonly name: string;
  readonly version: string;
  /** Where it was found. */
  readonly source: string;
  /** Where it runs: the source, or a copy that later changes of the source don't touch. */
  readonly folder: string;
  readonly manifest: Manifest;
  readonly digest: string;
  readonly contracts: readonly Contract[];
  readonly plugins: readonly PluginSpec[];
}

/** The bundle folders directly below a folder. A folder that does not exist has none. */
export function findBundles(parent: string): string[] {
  if (!existsSync(parent)) return [];
  return readdirSync(parent, { withFileTypes: true })
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && existsSync(join(parent, entry.name, manifestName)))
    .map((entry) => join(parent, entry.name))
    .sort();
}

/** The manifests of the bundles in some folders. @throws ManifestError unless broken ones are to be passed over */
export function readManifests(parents: readonly string[], { skipBroken = false } = {}): Manifest[] {
  return parents.flatMap(findBundles).flatMap((folder) => {
    try {
      const file = join(folder, manifestName);
      return [parseManifest(readFileSync(file, 'utf8'), file)];
    } catch (error) {
      if (skipBroken) return [];
      throw error;
    }
  });
}

export interface LoadOptions {
  /** Folder for copies to run from, so that a version keeps working while its source is being overwritten. None: run in place. */
  readonly copies?: string | undefined;
  readonly contract: (kind: string) => Contract | undefined;
}

/**
 * Reads a bundle whole.
 * @throws ManifestError with file, line and path
 * @throws BundleError `BUNDLE_INCOMPLETE` if a digest differs or the folder changed meanwhile
 */
export function loadBundle(source: string, options: LoadOptions): Bundle {
  const digest = options.copies === undefined ? stampFolder(source) : digestFolder(source);
  const folder = options.copies === undefined ? source : copyOf(source, digest, options.copies);
  const text = readFileSync(join(folder, manifestName), 'utf8');
  const manifest = parseManifest(text, join(source, manifestName));
  verifyFiles(manifest, folder);
  const contracts = (manifest.contracts ?? []).map((file) => readContract(folder, file));
  // What a link in the folder of bundles points to is where its author is at work.
  const home = realpathSync(source);
  const own = new Map(contracts.map((contract) => [contract.kind, contract]));
  const resources = readResources(manifest, folder);
  const contractOf = (kind: string) => own.get(kind) ?? options.contract(kind);
  return {
    name: manifest.bundle,
    version: manifest.version,
    source,
    folder,
    manifest,
    digest,
    contracts,
    plugins: manifest.plugins.map((entry) =>
      createSpec({ manifest, folder, source: home, digest, resources }, entry, contractOf(entry.kind)),
    ),
  };
}

/** Tells versions of a bundle that runs in its own folder apart without reading its files: by their names, modes, sizes and times. */
function stampFolder(folder: string): string {
  const hash = createHash('sha256');
  for (const file of filesOf(folder)) {
    const { mode, size, mtimeMs } = statSync(join(folder, file));
    hash.update(`${file}\0${mode & 0o111}\0${size}\0${mtimeMs}\0`);
  }
  return hash.digest('hex');
}

/** A hash over names, modes and contents of all files of a bundle. */
export function digestFolder(folder: string): string {
  const hash = createHash('sha256');
  for (const file of filesOf(folder)) {
    const path = join(folder, file);
    hash.update(`${file}\0${statSync(path).mode & 0o111}\0`);
    hash.update(readFileSync(path));
  }
  return hash.digest('hex');
}

/**
 * What lies in a bundle's folder and is no part of the bundle: version control, and what interpreters and compilers keep for
 * themselves. Theirs is marked by a CACHEDIR.TAG, as cargo does with `target`.
 */
export function isLeftOut(path: string): boolean {
  return ['.git', '__pycache__'].includes(basename(path)) || existsSync(join(path, 'CACHEDIR.TAG'));
}

function filesOf(folder: string): string[] {
  const below = (parent: string): string[] =>
    readdirSync(parent, { withFileTypes: true }).flatMap((entry) => {
      const path = join(parent, entry.name);
      if (entry.isDirectory()) return isLeftOut(path) ? [] : below(path);
      return entry.isFile() ? [relative(folder, path)] : [];
    });
  return below(folder).sort();
}

function copyOf(source: string, digest: string, copies: string): string {
  const target = join(copies, basename(source), digest.slice(0, 16));
  if (existsSync(target)) return target;
  const work = `${target}.${process.pid}`;
  mkdirSync(join(copies, basename(source)), { recursive: true, mode: 0o700 });
  rmSync(work, { recursive: true, force: true });
  cpSync(source, work, { recursive: true, dereference: true, filter: (path) => path === source || !isLeftOut(path) });
  if (digestFolder(work) !== digest) {
    rmSync(work, { recursive: true, force: true });
    throw new BundleError('BUNDLE_INCOMPLETE', `${source} changed while it was read; it is loaded when it has come to rest`);
  }
  renameSync(work, target);
  return target;
}

/** Ends the copy that a version ran from, when it runs no more. */
export function removeSnapshot({ folder, source }: Bundle): void {
  if (folder !== source) rmSync(folder, { recursive: true, force: true });
}

/** Removes the copies that an earlier run of this host left behind. */
export function removeOtherSnapshots(copies: string, used: readonly Bundle[]): void {
  if (!existsSync(copies)) return;
  const kept = new Set(used.map(({ folder }) => folder));
  for (const name of readdirSync(copies))
    for (const version of readdirSync(join(copies, name)))
      if (!kept.has(join(copies, name, version))) rmSync(join(copies, name, version), { recursive: true, force: true });
}

function verifyFiles(manifest: Manifest, folder: string): void {
  for (const [file, expected] of Object.entries(manifest.files ?? {})) {
    const path = join(folder, file);
    const actual = existsSync(path) ? createHash('sha256').update(readFileSync(path)).digest('hex') : 'missing';
    if (actual !== expected)
      throw new BundleError(
        'BUNDLE_INCOMPLETE',
        `${manifest.bundle}: ${file} is ${actual === 'missing' ? 'missing' : 'not what the manifest says'}; the bundle starts when all of \`files:\` match`,
      );
  }
}

function readResources(manifest: Manifest, folder: string): Map<string, unknown> {
  const files = new Set(manifest.plugins.flatMap((entry) => Object.values(entry.resources ?? {})));
  return new Map([...files].map((file) => [file, readJson(folder, file)]));
}

function readContract(folder: string, file: string): Contract {
  const document = readJson(folder, file);
  try {
    return createContract(document);
  } catch (error) {
    throw new BundleError('BUNDLE_UNREADABLE', `${join(folder, file)} is no contract: ${(error as Error).message}`);
  }
}

/** JSON is YAML, so one parser reads both. */
function readJson(folder: string, file: string): unknown {
  const path = join(folder, file);
  try {
    const text = readFileSync(path, 'utf8');
    return file.endsWith('.json') ? (JSON.parse(text) as unknown) : (loadYaml().parse(text) as unknown);
  } catch (error) {
    throw new BundleError('BUNDLE_UNREADABLE', `${path}: cannot be read: ${(error as Error).message}`);
  }
}
