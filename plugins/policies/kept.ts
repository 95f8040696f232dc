// What was made before: in memory, in files of this machine, and prepared ones that came with it.

import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { sourceKey } from '../wire/rego/policy-use.ts';
import { writeWhole } from '../wire/whole-file.ts';
import { maxRecordBytes, type PolicyRecord, readRecord, type Wanted } from './record.ts';

const maxMemoryBytes = 32 * 1024 * 1024;
const maxFiles = 2_000;

/** The latest that were used, up to so many bytes. */
export class Memory {
  readonly #records = new Map<string, { readonly record: PolicyRecord; readonly bytes: number }>();
  #bytes = 0;

  get(key: string): PolicyRecord | undefined {
    const kept = this.#records.get(key);
    if (!kept) return undefined;
    this.#records.delete(key);
    this.#records.set(key, kept);
    return kept.record;
  }

  set(key: string, record: PolicyRecord): void {
    this.delete(key);
    const { result, explainer, policy } = record;
    const bytes = policy.length + (result.ok ? result.module.length : 0) + JSON.stringify(explainer ?? '').length;
    this.#records.set(key, { record, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#records.keys()) {
      if (this.#bytes <= maxMemoryBytes) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#bytes -= this.#records.get(key)?.bytes ?? 0;
    this.#records.delete(key);
  }
}

/** A folder with a file for each. One that is read-only is read. */
export class Folder {
  readonly #path: string;
  readonly #onBad: (file: string, problem: string) => void;

  constructor(path: string, onBad: (file: string, problem: string) => void) {
    this.#path = path;
    this.#onBad = onBad;
  }

  get(wanted: Wanted): PolicyRecord | undefined {
    const file = this.#file(wanted);
    try {
      if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > maxRecordBytes) throw new Error('it is too large');
      return readRecord(readFileSync(file, 'utf8'), wanted);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' || (error as NodeJS.ErrnoException).code === 'ENOTDIR')
        return undefined;
      this.#onBad(file, (error as Error).message);
      return undefined;
    }
  }

  /** @throws Error if the disk does not take it */
  set(wanted: Wanted, record: PolicyRecord): void {
    mkdirSync(this.#path, { recursive: true, mode: 0o700 });
    writeWhole(this.#file(wanted), JSON.stringify(record), 0o600);
  }

  /** Removes the oldest beyond what is kept. */
  prune(): void {
    let names: string[];
    try {
      names = readdirSync(this.#path).filter((name) => name.endsWith('.json'));
    } catch {
      return;
    }
    if (names.length <= maxFiles) return;
    const aged = names.map((name) => ({ name, at: statSync(join(this.#path, name), { throwIfNoEntry: false })?.mtimeMs ?? 0 }));
    for (const { name } of aged.sort((a, b) => a.at - b.at).slice(0, names.length - maxFiles))
      rmSync(join(this.#path, name), { force: true });
  }

  #file({ policy, use }: Wanted): string {
    return join(this.#path, `${sourceKey(policy, use)}.json`);
  }
}
