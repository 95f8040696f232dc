// Runs a command of a bundle: a host for it alone, the terminal lent to it, Ctrl-C handed on, its exit code taken over.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { resolveConfig } from '../config/values.ts';
import { manifestName, readManifests } from '../host/bundle.ts';
import { distributionRoot } from '../host/distribution.ts';
import { Host } from '../host/host.ts';
import { createPlainLog } from '../host/log.ts';
import { type Manifest, parseManifest } from '../host/manifest.ts';
import { Runtime } from '../host/runtime.ts';
import { extraBundleFolders, knownKeys, loadSettings, ownBundleFolders, type Settings } from '../host/settings.ts';
import { PluginError } from '../protocol/errors.ts';
import type { CommandOfBundle } from './bundle-commands.ts';
import { fail } from './report.ts';

export interface CommandRun {
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  /** The configuration file that was asked for. */
  readonly config: string | undefined;
  readonly debug: boolean;
}

const interruptedExitCode = 130;

/** Runs it to its end and sets the exit code of the process. */
export async function runBundleCommand(entry: CommandOfBundle, run: CommandRun): Promise<void> {
  const root = distributionRoot();
  const folders = [...ownBundleFolders(root), ...extraBundleFolders(process.env)];
  const log = createPlainLog(process.stderr, run.debug ? 'debug' : 'warn');
  const extra = bundleOf(entry, run);
  const settings = readSettings(entry, run, { root, folders, manifest: extra?.manifest });
  for (const warning of settings.config.warnings) log.warn({}, warning);
  // Nothing of a command outlives it; several may run at once.
  const stateFolder = mkdtempSync(join(temporaryFolder(), 'muster-command-'));
  const runtime = new Runtime();
  const host = new Host({
    runtime,
    bundles: folders,
    watched: settings.watched,
    watch: false,
    stateFolder,
    config: settings.config,
    services: entry.services ?? [],
    log,
    terminal: {
      stdin: process.stdin,
      stdout: process.stdout,
      stderr: process.stderr,
      color: process.stdout.isTTY === true && !process.env.NO_COLOR,
    },
  });
  const interrupt = new AbortController();
  const onSignal = () => {
    if (interrupt.signal.aborted) process.exit(interruptedExitCode);
    interrupt.abort(new Error('interrupted'));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  // A reader such as `head` that has seen enough ends the command without a word.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') interrupt.abort(new Error('nobody reads the output any more'));
  });
  try {
    await host.start();
    if (extra) await host.reloadBundle(extra.source);
    const params = { command: entry.path, arguments: run.arguments, options: run.options };
    const { exitCode } = (await host.call('command', entry.plugin, 'command/run', params, { signal: interrupt.signal })) as {
      exitCode: number;
    };
    process.exitCode = exitCode;
  } catch (error) {
    if (interrupt.signal.aborted) process.exitCode = entry.serves ? 0 : interruptedExitCode;
    else fail(error instanceof PluginError ? new Error(error.message, { cause: error }) : error);
  } finally {
    await host.stop('the command ended');
    runtime.close();
    rmSync(stateFolder, { recursive: true, force: true });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, onSignal);
    process.stdin.pause();
  }
}

/** The bundle that an argument names, if it names one. @throws ManifestError */
function bundleOf(
  { loads }: CommandOfBundle,
  run: CommandRun,
): { readonly source: string; readonly manifest: Manifest } | undefined {
  const named = loads === undefined ? undefined : run.arguments[loads];
  if (typeof named !== 'string') return undefined;
  const source = resolve(named);
  const file = join(source, manifestName);
  return existsSync(file) ? { source, manifest: parseManifest(readFileSync(file, 'utf8'), file) } : undefined;
}

interface Known {
  readonly root: string;
  readonly folders: readonly string[];
  /** Of a bundle that an argument names. */
  readonly manifest: Manifest | undefined;
}

function readSettings(entry: CommandOfBundle, run: CommandRun, { root, folders, manifest }: Known): Settings {
  if (entry.config !== false) return loadSettings({ root, file: run.config, project: true, optional: true, manifest });
  return { config: resolveConfig({ file: undefined, entries: [] }, knownKeys(readManifests(folders))), watched: [] };
}

function temporaryFolder(): string {
  const folder = tmpdir();
  mkdirSync(folder, { recursive: true });
  return folder;
}
