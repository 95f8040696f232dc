// What this node has already done: a retry (same caller, id and body, signed anew) is answered from here and not run
// twice. Bounded; kept on disk, so that a restart does not forget.

import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';

const maxEntries = 2_048;
const keepMs = 3_600_000;
/** Replies larger than this are not kept; a retry is told so. */
const maxBodyBytes = 64 * 1024;
const maxFileBytes = 16 * 1024 * 1024;
/** After a write that failed the file is written anew, at most this often. */
const repairMs = 5_000;

/** `running`: begun and not finished by this process; `interrupted`: begun by one that ended. */
export type Entry = { readonly at: 'running' | 'interrupted' } | { readonly at: 'done'; readonly body: string | null };

type Known = Entry & { readonly time: number /** Whether the file has it as well. */; readonly onDisk: boolean };

interface Line {
  readonly key: string;
  readonly time: number;
  /** Absent when the request was begun, `null` when the reply was too large. */
  readonly body?: string | null;
}

export class Ledger {
  readonly #file: string | undefined;
  readonly #entries = new Map<string, Known>();
  readonly #unwritten: Line[] = [];
  #fd: number | undefined;
  #bytes = 0;
  /** When a write failed and the file is to be written anew; undefined while all is well. */
  #repairAt: number | undefined;
  readonly #onTrouble: (problem: string) => void;

  /**
   * @param file where it is kept; without one it lasts as long as the process
   * @param onTrouble told once when the file can't be written, and once when it can again; requests go on meanwhile
   */
  constructor(file: string | undefined, onTrouble: (problem: string) => void = () => undefined) {
    this.#file = file;
    this.#onTrouble = onTrouble;
    if (file !== undefined && existsSync(file)) this.#load(file);
  }

  find(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /**
   * Notes a request that is about to run; on disk before this returns, unless there is trouble with the disk. One that changes
   * nothing may be run again after a restart, and need not be on disk.
   */
  begin(key: string, now: number, { onDisk }: { onDisk: boolean }): void {
    this.#put(key, { at: 'running', time: now, onDisk });
    if (onDisk) this.#append([{ key, time: now }]);
  }

  finish(key: string, body: string, now: number): void {
    const kept = Buffer.byteLength(body) <= maxBodyBytes ? body : null;
    const onDisk = this.#entries.get(key)?.onDisk ?? false;
    this.#put(key, { at: 'done', body: kept, time: now, onDisk });
    if (!onDisk) return;
    // That a request was done may be written a little later than that it was begun: lost in a crash, it counts as interrupted.
    this.#unwritten.push({ key, time: now, body: kept });
    if (this.#unwritten.length === 1) setImmediate(() => this.#flush());
  }

  close(): void {
    this.#flush();
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #flush(): void {
    this.#append(this.#unwritten.splice(0));
  }

  #put(key: string, entry: Known): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size > maxEntries) this.#entries.delete(this.#entries.keys().next().value ?? '');
  }

  #append(lines: readonly Line[]): void {
    if (this.#file === undefined || lines.length === 0) return;
    if (this.#repairAt !== undefined && Date.now() < this.#repairAt) return;
    const file = this.#file;
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    // What was written in part is made whole with everything that is known, these lines included.
    const anew = this.#repairAt !== undefined || this.#bytes + text.length > maxFileBytes;
    this.#guarded(file, () => (anew ? this.#compact(file) : this.#write(file, text)));
  }

  /** A disk that is full must not keep the node from its work. */
  #guarded(file: string, write: () => void): void {
    try {
      write();
      if (this.#repairAt !== undefined) this.#onTrouble(`${file} is written again`);
      this.#repairAt = undefined;
    } catch (error) {
      if (this.#repairAt === undefined)
        this.#onTrouble(
          `${file} can not be written: ${(error as Error).message}; until it can, a restart forgets which requests were done`,
        );
      this.#repairAt = Date.now() + repairMs;
    }
  }

  #write(file: string, text: string): void {
    this.#fd ??= openSync(file, 'a', 0o600);
    const written = writeSync(this.#fd, text);
    this.#bytes += written;
    if (written < Buffer.byteLength(text)) throw new Error('no space left on device for the whole of it');
  }

  #load(file: string): void {
    const oldest = Date.now() - keepMs;
    for (const text of readFileSync(file, 'utf8').split('\n')) {
      const line = parse(text);
      if (!line || line.time < oldest) continue;
      this.#put(
        line.key,
        line.body === undefined
          ? { at: 'interrupted', time: line.time, onDisk: true }
          : { at: 'done', body: line.body, time: line.time, onDisk: true },
      );
    }
    this.#guarded(file, () => this.#compact(file));
  }

  /** Rewrites the file with what is still known, in one step. */
  #compact(file: string): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    const lines = [...this.#entries]
      .filter(([, { onDisk }]) => onDisk)
      .map(
        ([key, entry]): Line => (entry.at === 'done' ? { key, time: entry.time, body: entry.body } : { key, time: entry.time }),
      );
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
    this.#bytes = Buffer.byteLength(text);
  }
}

/** Names a request over its retries. */
export function ledgerKey(caller: string, id: string, body: string): string {
  return createHash('sha256').update(`${caller}\n${id}\n${body}`).digest('base64url');
}

/** A line that was being written when the process ended is passed over. */
function parse(text: string): Line | undefined {
  try {
    const line = JSON.parse(text) as Partial<Line> | null;
    return typeof line?.key === 'string' && typeof line.time === 'number' ? (line as Line) : undefined;
  } catch {
    return undefined;
  }
}
