// What `plugin dev` shows: of the log and the calls of a node those that concern one bundle.

import { readFileSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';

export interface DevViewOptions {
  readonly say: (text: string) => void;
  readonly color: boolean;
  /** A new version works. */
  readonly onReload: () => void;
}

interface LogEntry {
  readonly level?: string;
  readonly plugin?: string;
  readonly bundle?: string;
  readonly version?: string;
  readonly time?: string;
  readonly msg?: string;
}

interface TraceLine {
  readonly time: number;
  readonly plugin: string;
  readonly what: 'call' | 'delivery' | 'capability';
  readonly method: string;
  readonly ms: number;
  readonly outcome: string;
  readonly message: string | null;
  readonly details?: { readonly params: unknown; readonly progress: readonly unknown[]; readonly result?: unknown };
}

/** What a bundle has, as far as its files can be read. */
export interface DevBundle {
  readonly name: string;
  /** `kind/name` */
  readonly plugins: readonly string[];
  readonly agents: readonly {
    readonly name: string;
    /** With the inputs that are required. */
    readonly actions: readonly { readonly action: string; readonly inputs: readonly string[] }[];
  }[];
}

const known = new Set(['level', 'time', 'msg', 'plugin', 'bundle']);
const [dim, red, yellow, green, reset] = ['\x1b[2m', '\x1b[31m', '\x1b[33m', '\x1b[32m', '\x1b[0m'];
const maxShown = 400;

export class DevView {
  readonly #folder: string;
  readonly #options: DevViewOptions;
  #bundle: DevBundle;

  constructor(folder: string, options: DevViewOptions) {
    this.#folder = realpathSync(folder);
    this.#options = options;
    this.#bundle = readBundle(folder);
  }

  /** A line of the node's log. */
  logLine(line: string): void {
    let entry: LogEntry & Record<string, unknown>;
    try {
      entry = JSON.parse(line) as LogEntry & Record<string, unknown>;
    } catch {
      this.#options.say(line);
      return;
    }
    const { level = 'info', plugin, bundle, msg = '', time = '' } = entry;
    const ours = bundle === this.#bundle.name || basename(String(bundle ?? '')) === basename(this.#folder);
    if (ours && /^bundle (loaded|replaced)$/.test(msg)) {
      this.#loaded(time, String(entry.version ?? ''), msg === 'bundle replaced');
      return;
    }
    const concerns = ours || this.#bundle.plugins.includes(String(plugin)) || level === 'warn' || level === 'error';
    if (!concerns) return;
    const rest = Object.fromEntries(Object.entries(entry).filter(([key]) => !known.has(key)));
    const fields = Object.keys(rest).length > 0 ? ` ${JSON.stringify(rest)}` : '';
    this.#show(
      clock(new Date(time)),
      'log',
      `${level.padEnd(5)} ${msg.replaceAll(`${this.#folder}/`, './')}${fields}`,
      { error: red, warn: yellow, debug: dim }[level],
    );
  }

  /** A line of `plugin trace --details --json`. */
  traceLine(line: string): void {
    let entry: TraceLine;
    try {
      entry = JSON.parse(line) as TraceLine;
    } catch {
      this.#options.say(line);
      return;
    }
    if (!this.#bundle.plugins.includes(entry.plugin)) return;
    const { time, what, method, outcome, message, ms, details } = entry;
    const head = `${method} ${outcome === 'ok' ? '' : `${outcome} `}${ms} ms${message ? `: ${message}` : ''}`;
    this.#show(
      clock(new Date(time)),
      { call: 'call', delivery: 'gets', capability: 'asks' }[what],
      head,
      outcome === 'ok' ? undefined : red,
    );
    if (!details) return;
    const answers = outcome === 'ok' ? [...details.progress, details.result] : details.progress;
    for (const [mark, value] of [['→', details.params], ...answers.map((value) => ['←', value])] as [string, unknown][])
      this.#options.say(`${' '.repeat(18)}${mark} ${brief(value)}`);
  }

  #loaded(time: string, version: string, again: boolean): void {
    this.#bundle = readBundle(this.#folder);
    this.#show(clock(new Date(time)), 'load', `${this.#bundle.name} ${version} works`, green);
    if (again) this.#options.onReload();
  }

  #show(when: string, what: string, text: string, tint: string | undefined): void {
    const { color, say } = this.#options;
    say(`${when} ${what.padEnd(4)} ${color && tint ? tint + text + reset : text}`);
  }
}

export function readBundle(folder: string): DevBundle {
  const manifest = read(join(folder, 'bundle.yaml')) as { bundle?: string; plugins?: readonly Entry[] } | undefined;
  const entries = Array.isArray(manifest?.plugins) ? manifest.plugins : [];
  return {
    name: String(manifest?.bundle ?? basename(folder)),
    plugins: entries.map(({ kind, name }) => `${kind}/${name}`),
    agents: entries
      .filter(({ kind, resources }) => kind === 'agent' && resources?.ddl)
      .map(({ name, resources }) => ({ name: String(name), actions: actionsOf(read(join(folder, String(resources?.ddl)))) })),
  };
}

interface Entry {
  readonly kind?: string;
  readonly name?: string;
  readonly resources?: { readonly ddl?: string };
}

interface Action {
  readonly action?: string;
  readonly input?: Readonly<Record<string, { readonly optional?: boolean }>> | null;
}

function actionsOf(ddl: unknown): DevBundle['agents'][number]['actions'] {
  const { actions } = (ddl ?? {}) as { actions?: readonly Action[] };
  return (Array.isArray(actions) ? actions : []).map(({ action, input }: Action) => ({
    action: String(action),
    inputs: Object.entries(input ?? {}).flatMap(([name, { optional }]) => (optional ? [] : [name])),
  }));
}

/** JSON is YAML. What can't be read is told of by the node. */
function read(file: string): unknown {
  try {
    return parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

function clock(time: Date): string {
  return Number.isNaN(time.getTime()) ? ' '.repeat(12) : time.toISOString().slice(11, 23);
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > maxShown ? `${text.slice(0, maxShown)}… (${text.length} characters)` : text;
}
