// The register of what was issued and revoked: one JSON object a line, only ever added to, shared by processes.

import { closeSync, existsSync, fstatSync, fsyncSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { whileLocked } from './lock.ts';

export interface IssuedEntry {
  readonly event: 'issued';
  /** ISO 8601. */
  readonly time: string;
  readonly serial: string;
  readonly identity: string;
  readonly names: readonly string[];
  readonly notAfter: string;
  /** SHA-256 of the certificate. */
  readonly fingerprint: string;
}

export interface RevokedEntry {
  readonly event: 'revoked';
  readonly time: string;
  readonly serial: string;
  readonly reason: string;
}

export type Entry = IssuedEntry | RevokedEntry;

interface Waiting {
  readonly entry: Entry;
  readonly done: (error?: unknown) => void;
}

const lineFeed = 10;

export class Register {
  readonly file: string;
  readonly #folder: string;
  #waiting: Waiting[] = [];
  #writing = false;

  constructor(folder: string) {
    this.#folder = folder;
    this.file = join(folder, 'issued.jsonl');
  }

  /** Resolves when the entry is on the disk. Those that come meanwhile are written together, under one lock. */
  add(entry: Entry): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entry, done: (error) => (error === undefined ? resolve() : reject(error)) });
      if (!this.#writing) void this.#write();
    });
  }

  /** All entries, the oldest first; without the line of a process that died in the middle of it. */
  read(): Entry[] {
    if (!existsSync(this.file)) return [];
    const text = readFileSync(this.file, 'utf8');
    return text
      .slice(0, text.lastIndexOf('\n') + 1)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Entry);
  }

  /** For those who hold the lock of the folder already. */
  append(entries: readonly Entry[]): void {
    const descriptor = openSync(this.file, existsSync(this.file) ? 'r+' : 'w+', 0o600);
    try {
      const end = endOfLastLine(descriptor);
      ftruncateSync(descriptor, end);
      const text = entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
      writeSync(descriptor, text, end);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  async #write(): Promise<void> {
    this.#writing = true;
    while (this.#waiting.length > 0) {
      let taken: readonly Waiting[] = [];
      try {
        await whileLocked(this.#folder, () => {
          taken = this.#waiting.splice(0);
          this.append(taken.map(({ entry }) => entry));
        });
        for (const { done } of taken) done();
      } catch (error) {
        for (const { done } of taken.length > 0 ? taken : this.#waiting.splice(0)) done(error);
      }
    }
    this.#writing = false;
  }
}

/** Where the last whole line ends: a process that was killed may have left a part of one. */
function endOfLastLine(descriptor: number): number {
  const block = Buffer.alloc(4_096);
  let end = sizeOf(descriptor);
  while (end > 0) {
    const from = Math.max(0, end - block.length);
    const read = readSync(descriptor, block, 0, end - from, from);
    const at = block.subarray(0, read).lastIndexOf(lineFeed);
    if (at !== -1) return from + at + 1;
    end = from;
  }
  return 0;
}

function sizeOf(descriptor: number): number {
  return fstatSync(descriptor).size;
}
