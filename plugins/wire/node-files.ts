// Facts and classes of this machine, from files that something else writes; read again when they change.

import { readFileSync, statSync } from 'node:fs';
import { parse } from 'yaml';
import type { Log } from '../../core/sdk/typescript/index.ts';

export class NodeFiles {
  readonly #log: Log;
  readonly #factFiles: readonly string[];
  readonly #classesFile: string | undefined;
  #stamp = '';
  #facts: Readonly<Record<string, unknown>> = {};
  #classes: readonly string[] = [];
  #checkedAt = 0;

  constructor(files: { facts: readonly string[]; classes: string | undefined }, log: Log) {
    this.#factFiles = files.facts;
    this.#classesFile = files.classes;
    this.#log = log;
  }

  get facts(): Readonly<Record<string, unknown>> {
    this.#refresh();
    return this.#facts;
  }

  get classes(): readonly string[] {
    this.#refresh();
    return this.#classes;
  }

  /** Looks at the files at most once a second, since every request asks. */
  #refresh(): void {
    const now = Date.now();
    if (now - this.#checkedAt < 1_000) return;
    this.#checkedAt = now;
    const files = [...this.#factFiles, ...(this.#classesFile === undefined ? [] : [this.#classesFile])];
    const stamp = files.map(stampOf).join('|');
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    this.#facts = sortKeys(Object.assign({}, ...this.#factFiles.map((file) => this.#readFacts(file)))) as Record<string, unknown>;
    this.#classes = this.#classesFile === undefined ? [] : readClasses(this.#classesFile);
  }

  #readFacts(file: string): object {
    try {
      const text = readFileSync(file, 'utf8');
      const value: unknown = file.endsWith('yaml') ? parse(text) : JSON.parse(text);
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
      this.#log.warn(`${file} holds no object and is left out of the facts`);
    } catch (error) {
      this.#log.warn(`${file} is left out of the facts: ${(error as Error).message}`);
    }
    return {};
  }
}

/** In the order that all Choria servers have them in: a wildcard in a path takes the first that fits. */
function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  const sorted = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([key, item]) => [key, sortKeys(item)]));
}

function stampOf(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat ? `${stat.mtimeMs}:${stat.size}:${stat.ino}` : 'none';
}

function readClasses(file: string): string[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  } catch {
    return [];
  }
}
