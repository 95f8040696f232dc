// A plugin as its manifest describes it, with every default filled in and every path absolute.

import { isAbsolute, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Contract } from '../protocol/contract.ts';
import { defaultMaxLineBytes } from '../protocol/messages.ts';
import type { Runner } from './instance.ts';
import type { Manifest, PluginEntry } from './manifest.ts';

export interface Limits {
  /** Calls that are unanswered at once. */
  readonly concurrency: number;
  /** Calls that wait beyond that; past it the caller gets `BUSY`. */
  readonly queue: number;
  /** Longest time for a call, whatever the contract allows. */
  readonly deadlineMs: number | undefined;
  /** A plugin without calls and declarations ends after this. */
  readonly idleMs: number;
  readonly graceMs: number;
  readonly maxLineBytes: number;
}

export interface PluginSpec {
  readonly bundle: string;
  readonly bundleVersion: string;
  /** Folder that the plugin runs in. */
  readonly folder: string;
  /** Folder that its author knows: the same, unless it runs from a copy. */
  readonly source: string;
  readonly kind: string;
  /** Of its kind, as this version of its bundle knows it. */
  readonly contract: Contract | undefined;
  readonly name: string;
  readonly description: string;
  readonly runner: Runner;
  /** Program and arguments; empty for a module. */
  readonly command: readonly string[];
  readonly moduleUrl: string | undefined;
  readonly eager: boolean;
  /** The plugin is there only if this key is true. */
  readonly when: string | undefined;
  readonly resources: Readonly<Record<string, unknown>>;
  readonly needs: Needs;
  readonly limits: Limits;
  readonly configKeys: readonly string[];
  readonly commands: NonNullable<PluginEntry['commands']>;
  /** Changes whenever anything of the bundle does. */
  readonly digest: string;
}

export type Needs = NonNullable<PluginEntry['needs']>;

const defaults = { concurrency: 64, oneshotConcurrency: 8, queue: 256, idleMs: 300_000, graceMs: 3_000 };

export interface SpecSource {
  readonly manifest: Manifest;
  readonly folder: string;
  readonly source: string;
  readonly digest: string;
  readonly resources: ReadonlyMap<string, unknown>;
}

export function createSpec(source: SpecSource, entry: PluginEntry, contract: Contract | undefined): PluginSpec {
  const { manifest, folder, digest } = source;
  const limits = entry.limits ?? {};
  const fromContract = Math.min(
    ...[...(contract?.methods.values() ?? [])].map((method) => method.concurrency ?? Number.POSITIVE_INFINITY),
  );
  const byRunner = entry.runner === 'oneshot' ? defaults.oneshotConcurrency : defaults.concurrency;
  return {
    bundle: manifest.bundle,
    bundleVersion: manifest.version,
    folder,
    source: source.source,
    kind: entry.kind,
    contract,
    name: entry.name,
    description: entry.description ?? manifest.description ?? '',
    runner: entry.runner,
    command: (entry.command ?? []).map((part) => inside(folder, part)),
    moduleUrl: entry.module === undefined ? undefined : pathToFileURL(join(folder, entry.module)).href,
    eager: entry.start === 'eager',
    when: entry.when,
    resources: Object.fromEntries(
      Object.entries(entry.resources ?? {}).map(([name, file]) => [name, source.resources.get(file)]),
    ),
    needs: entry.needs ?? {},
    limits: {
      concurrency: limits.concurrency ?? (Number.isFinite(fromContract) ? fromContract : byRunner),
      queue: limits.queue ?? defaults.queue,
      deadlineMs: limits.deadlineMs,
      idleMs: limits.idleMs ?? defaults.idleMs,
      graceMs: limits.graceMs ?? defaults.graceMs,
      maxLineBytes: limits.maxLineBytes ?? defaultMaxLineBytes,
    },
    configKeys: entry.config ?? [...Object.keys(manifest.config?.keys ?? {}), ...(manifest.config?.uses ?? [])],
    commands: entry.commands ?? [],
    digest,
  };
}

/** The program that runs a host, as a plugin of it. */
export function programSpec(name: string, needs: Needs, moduleUrl: string, configKeys: readonly string[]): PluginSpec {
  const manifest: Manifest = { bundle: name, version: '0', plugins: [{ kind: 'program', name, runner: 'inline', needs }] };
  const [entry] = manifest.plugins;
  const source = { manifest, folder: process.cwd(), source: process.cwd(), digest: '', resources: new Map() };
  return { ...createSpec(source, entry, undefined), moduleUrl, configKeys };
}

/** Program and arguments; a module is run by the SDK. */
export function commandOf({ command, moduleUrl }: PluginSpec, root: string): readonly string[] {
  if (moduleUrl === undefined) return command;
  return [process.execPath, join(root, 'core/sdk/typescript/run.js'), fileURLToPath(moduleUrl)];
}

/** What is said of files of the folder that a plugin runs in, said of those that its author knows. */
export function atSource({ folder, source }: PluginSpec, text: string): string {
  return folder === source ? text : text.replaceAll(folder, source);
}

/** `./x` is inside the bundle; anything else is left to PATH. */
function inside(folder: string, part: string): string {
  return part.startsWith('./') && !isAbsolute(part) ? join(folder, part) : part;
}
