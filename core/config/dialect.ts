// The `key = value` dialect: files to entries, with the place each came from. Knows no key.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';

export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly file: string;
  readonly line: number;
}

export interface ConfigFile {
  /** Absolute path of the main file; undefined if there is none. */
  readonly file: string | undefined;
  /** All entries in the order in which they were read, later ones overriding. */
  readonly entries: readonly Entry[];
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'CONFIG';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

/**
 * Splits text into entries: the first `=` splits, `#` at the start of a line is a comment, a line without a value is
 * ignored.
 */
export function parseEntries(text: string, file: string, prefix = ''): Entry[] {
  return text.split('\n').flatMap((raw, index) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) return [];
    const at = line.indexOf('=', 1);
    const value = at === -1 ? '' : line.slice(at + 1).trim();
    if (value === '') return [];
    return [{ key: prefix + line.slice(0, at).trim(), value, file, line: index + 1 }];
  });
}

/**
 * Reads a main file and the `plugin.d/*.cfg` beside it, whose keys get the prefix `plugin.<name>.`. Below the home folder
 * `plugin.d` is not read. With `project`, every file of that name from `/` down to that folder follows, nearest last.
 * @throws ConfigError if a file can't be read
 */
export function readConfigFile(
  file: string,
  options: { project?: { readonly name: string; readonly folder: string } } = {},
): ConfigFile {
  const main = resolve(file);
  const entries = [
    ...read(main),
    ...includes(main),
    ...(options.project ? projectFiles(options.project.name, options.project.folder) : []),
  ];
  return { file: main, entries };
}

/** Entries given in code, as a file of their own. */
export function entriesFrom(values: Readonly<Record<string, unknown>>, origin: string): Entry[] {
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([key, value], index) => ({
      key,
      value: Array.isArray(value) ? value.join(',') : String(value),
      file: origin,
      line: index + 1,
    }));
}

function read(file: string, prefix = ''): Entry[] {
  try {
    return parseEntries(readFileSync(file, 'utf8'), file, prefix);
  } catch (error) {
    throw new ConfigError([`${file}: cannot be read: ${(error as Error).message}`]);
  }
}

function includes(main: string): Entry[] {
  const folder = join(dirname(main), 'plugin.d');
  if (main.startsWith(`${homedir()}/`) || !existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.cfg'))
    .sort()
    .flatMap((name) => read(join(folder, name), `plugin.${basename(name, '.cfg')}.`));
}

function projectFiles(name: string, folder: string): Entry[] {
  const parent = dirname(folder);
  const above = parent === folder ? [] : projectFiles(name, parent);
  const file = join(folder, name);
  return existsSync(file) ? [...above, ...read(file)] : above;
}
