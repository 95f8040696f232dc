// What the command line itself needs to know before a host exists: its own keys, the folders of bundles, the
// configuration file, the state folder.

import { existsSync, readFileSync } from 'node:fs';
import { homedir, tmpdir, userInfo } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { ConfigError, type ConfigFile, readConfigFile } from '../config/dialect.ts';
import { type KeySpec, type KeySpecs, type ResolvedConfig, resolveConfig } from '../config/values.ts';
import { readManifests } from './bundle.ts';
import { keySpecsOf } from './config-keys.ts';
import type { Manifest } from './manifest.ts';

/** Keys of the host, beside those that bundles declare. */
const ownKeys: Readonly<Record<string, KeySpec>> = {
  logfile: { type: 'string', default: 'stderr', description: 'Where the log goes: a path, stdout, stderr or discard' },
  loglevel: {
    type: 'string',
    default: 'info',
    enum: ['debug', 'info', 'warn', 'error', 'fatal'],
    description: 'Lowest level that is logged',
  },
  'plugin.muster.state': { type: 'path', description: 'Folder for what has to survive a restart; every host needs its own' },
  'plugin.muster.bundles': {
    type: 'paths',
    description: 'Folders with bundles that come and go, watched; by default `bundles` beside the configuration file',
  },
};

/** Folders with the bundles that come with this version; the build knows their names. */
export function ownBundleFolders(root: string): string[] {
  const names = JSON.parse(readFileSync(join(root, 'generated/bundle-folders.json'), 'utf8')) as string[];
  return names.map((name) => join(root, name)).filter((folder) => existsSync(folder));
}

/** Folders in `MUSTER_BUNDLES`, separated like those of PATH. */
export function extraBundleFolders(environment: NodeJS.ProcessEnv): string[] {
  return (environment.MUSTER_BUNDLES ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => resolve(folder));
}

export interface Settings {
  readonly config: ResolvedConfig;
  /** Folders with bundles that come and go. */
  readonly watched: readonly string[];
}

export interface SettingsRequest {
  readonly root: string;
  /** The file that the user named; without one the first of `config.files` in the manifests that exists. */
  readonly file: string | undefined;
  /** Whether files of the project, from `/` down to the working folder, count as well. */
  readonly project: boolean;
  /** Without a file at all, defaults are used. */
  readonly optional: boolean;
  /** Of a bundle that is loaded as well. */
  readonly manifest?: Manifest | undefined;
  /** What counts in place of the file's contents. */
  readonly chosen?: ConfigFile | undefined;
}

/** Reads the configuration with all keys that are known. @throws ConfigError, ManifestError */
export function loadSettings({ root, file, project, optional, manifest, chosen: instead }: SettingsRequest): Settings {
  const manifests = [...readManifests(ownBundleFolders(root)), ...(manifest ? [manifest] : [])];
  const chosen = file ?? defaultFile(manifests);
  if (chosen === undefined && !optional)
    throw new ConfigError([
      `no configuration file was found; name one with --config FILE, or make one of ${defaultFiles(manifests).join(', ')}`,
    ]);
  const projectName = manifests.map((manifest) => manifest.config?.project).find((name) => name !== undefined);
  const read: ConfigFile =
    instead ??
    (chosen === undefined
      ? { file: undefined, entries: [] }
      : readConfigFile(chosen, project && projectName ? { project: { name: projectName, folder: process.cwd() } } : {}));
  // The folders with further bundles are named in the file, and their bundles declare further keys of the file.
  const watched = watchedFolders(resolveConfig(read, new Map(Object.entries(ownKeys))), chosen);
  const config = resolveConfig(read, knownKeys([...manifests, ...readManifests(watched, { skipBroken: true })]));
  return { config, watched };
}

/** Every key that the host or one of these bundles declares. */
export function knownKeys(manifests: readonly Manifest[]): KeySpecs {
  return new Map([...keySpecsOf(manifests.map((manifest) => ({ manifest }))), ...Object.entries(ownKeys)]);
}

/** The state folder: of the flag, the configuration, or the user's own place for such. */
export function stateFolderOf(config: ResolvedConfig | undefined, flag: string | undefined, name: string): string {
  const configured = flag ?? (config?.values.get('plugin.muster.state') as string | undefined);
  return configured === undefined ? join(userStateFolder(), name) : resolve(configured);
}

/** `$XDG_STATE_HOME/muster`, else `~/.local/state/muster`; without a home a folder of the user's in the temporary one. */
export function userStateFolder(): string {
  if (process.env.XDG_STATE_HOME) return join(process.env.XDG_STATE_HOME, 'muster');
  const home = homedir();
  return home && home !== '/' ? join(home, '.local/state/muster') : join(tmpdir(), `muster-${userInfo().uid}`);
}

function watchedFolders(config: ResolvedConfig, file: string | undefined): string[] {
  const named = config.values.get('plugin.muster.bundles') as readonly string[] | undefined;
  if (named) return named.map((folder) => resolve(folder));
  return file === undefined ? [] : [join(dirname(resolve(file)), 'bundles')];
}

function defaultFiles(manifests: readonly Manifest[]): string[] {
  return manifests.flatMap((manifest) => manifest.config?.files ?? []);
}

function defaultFile(manifests: readonly Manifest[]): string | undefined {
  return defaultFiles(manifests)
    .map((path) => (path.startsWith('~/') ? join(homedir(), path.slice(2)) : path))
    .find((path) => existsSync(path));
}
