// A file that records are appended to, on disk when the promise resolves. Records of several callers share one write and one
// flush, so that the disk's slowness is paid once for all that came meanwhile. What could not be written is taken back whole.

import { statSync, writeSync } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';

export interface GroupLogSpec<T> {
  readonly file: string;
  readonly mode?: number;
  /** Size past which the file is put aside; 0 for never. */
  readonly maxBytes?: number;
  /** The lines of entries. What it remembers for that counts when `committed` is called, and not after `rolledBack`. */
  readonly render: (entries: readonly T[]) => string;
  readonly committed?: () => Promise<void> | void;
  readonly rolledBack?: () => void;
  /** What belongs at the end of a file that is put aside, if anything does. */
  readonly last?: () => T | undefined;
  /** Where a file is put that is full. */
  readonly rotatedName: (file: string) => Promise<string>;
  /** How data gets onto the disk; what is measured gives a slow one. */
  readonly sync?: (handle: FileHandle) => Promise<void>;
}

interface Waiting<T> {
  readonly entries: readonly T[];
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

const usualMode = 0o600;
/** Of one write; the rest comes with the next. */
const mostEntries = 4_096;

export class GroupLog<T> {
  readonly #spec: GroupLogSpec<T>;
  #waiting: Waiting<T>[] = [];
  #writing: Promise<void> | undefined;
  #handle: FileHandle | undefined;
  #size = 0;
  #inode = 0;

  constructor(spec: GroupLogSpec<T>) {
    this.#spec = spec;
  }

  /** Resolves when they are on disk. @throws Error if they can't be; none of them is in the file then */
  append(entries: readonly T[]): Promise<void> {
    const written = new Promise<void>((resolve, reject) => this.#waiting.push({ entries, resolve, reject }));
    this.#writing ??= this.#run();
    return written;
  }

  /** Waits for what is being written, and closes the file. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #run(): Promise<void> {
    // One turn of the event loop, so that what came together is written together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#write(group.flatMap(({ entries }) => entries));
        for (const { resolve } of group) resolve();
      } catch (error) {
        for (const { reject } of group) reject(error as Error);
      }
    }
    // In the same turn as the last look, so that nobody waits for a run that is over.
    this.#writing = undefined;
  }

  #takeGroup(): Waiting<T>[] {
    let count = 0;
    const end = this.#waiting.findIndex(({ entries }) => {
      count += entries.length;
      return count > mostEntries;
    });
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : Math.max(1, end));
  }

  async #write(entries: readonly T[]): Promise<void> {
    await this.#rotateIfFull();
    await this.#put(entries);
  }

  async #put(entries: readonly T[]): Promise<void> {
    const { render, committed, rolledBack, sync = (file) => file.datasync() } = this.#spec;
    const handle = await this.#current();
    try {
      const bytes = Buffer.from(render(entries));
      // Into the system's memory, which takes less time than to wait for a thread; the flush is what waits.
      for (let at = 0; at < bytes.length; ) at += writeSync(handle.fd, bytes, at);
      await sync(handle);
      this.#size += bytes.length;
      await committed?.();
    } catch (error) {
      rolledBack?.();
      // Half a record at the end would spoil the next one.
      await handle.truncate(this.#size).catch(() => undefined);
      throw error;
    }
  }

  /** By its name each time, so that a file that was moved away is left behind. */
  async #current(): Promise<FileHandle> {
    const { file, mode = usualMode } = this.#spec;
    if (this.#handle) {
      const named = statSync(file, { throwIfNoEntry: false });
      if (named?.ino === this.#inode) {
        this.#size = named.size;
        return this.#handle;
      }
      await this.#handle.close();
      this.#handle = undefined;
    }
    const handle = await open(file, 'a+', mode);
    try {
      const { size, ino } = await handle.stat();
      this.#size = size + (await endLine(handle, size));
      this.#inode = ino;
    } catch (error) {
      await handle.close();
      throw error;
    }
    this.#handle = handle;
    return handle;
  }

  async #rotateIfFull(): Promise<void> {
    const { file, maxBytes = 0, last, rotatedName } = this.#spec;
    if (maxBytes === 0) return;
    await this.#current();
    if (this.#size < maxBytes) return;
    const end = last?.();
    if (end !== undefined) await this.#put([end]);
    await rename(file, await rotatedName(file));
    await this.#handle?.close();
    this.#handle = undefined;
  }
}

/** A process that was killed may have left half a line, which must not take the next one with it. */
async function endLine(handle: FileHandle, size: number): Promise<number> {
  if (size === 0) return 0;
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  if (buffer[0] === 10) return 0;
  return (await handle.write('\n')).bytesWritten;
}
