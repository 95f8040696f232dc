// One job on disk: what it is to do, who does it, what it wrote, how it ended.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { ActionError } from 'muster/sdk';
import { type ExitFile, isSame, type JobFile, type PidFile, type ProcessId } from './files.ts';
import { chunkOf, roomForText, tailOf } from './text.ts';

export type JobState = { readonly at: 'starting' } | { readonly at: 'running'; readonly command: ProcessId } | ExitFile;

type Stream = 'stdout' | 'stderr';

export interface Reading {
  /** Bytes to pass over. */
  readonly offset: number;
  /** Characters that the reply has room for. */
  readonly room: number;
}

/** Time for the supervisor to say that the command runs. */
const startingMs = 15_000;
/** Read of a stream at once; what of it goes into a reply is decided by its text. */
const maxReadBytes = 160 * 1024;

export class Job {
  readonly handle: string;
  readonly folder: string;

  constructor(jobs: string, handle: string) {
    this.handle = handle;
    this.folder = join(jobs, handle);
  }

  get exists(): boolean {
    return existsSync(join(this.folder, 'job.json'));
  }

  get command(): string {
    return this.#read<JobFile>('job.json')?.command ?? '';
  }

  /** When its state last changed, in milliseconds. */
  get changedMs(): number {
    return statSync(this.folder, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  }

  get state(): JobState {
    const pids = this.#read<PidFile>('pid.json');
    const gone = pids ? !isSame(pids.supervisor) : Date.now() - this.changedMs > startingMs;
    // Only now: between the last look and its end it may have told.
    const exit = this.#read<ExitFile>('exit.json');
    if (exit) return exit;
    if (gone) return { at: 'failed', reason: 'nothing watches over it any more; the machine may have been started anew' };
    return pids ? { at: 'running', command: pids.command } : { at: 'starting' };
  }

  /** What it wrote to a stream from an offset on, and the offset after that. */
  async read(stream: Stream, { offset, room }: Reading): Promise<{ readonly text: string; readonly next: number }> {
    const { at } = this.state;
    const bytes = await this.#bytes(stream, offset, maxReadBytes);
    const isLast = bytes.length < maxReadBytes && at !== 'running' && at !== 'starting';
    const chunk = chunkOf(bytes, { isLast, room });
    return { text: chunk.text, next: offset + chunk.bytes };
  }

  /** The end of what it wrote to a stream. */
  async tail(stream: Stream): Promise<string> {
    const size = statSync(join(this.folder, stream), { throwIfNoEntry: false })?.size ?? 0;
    const start = Math.max(0, size - maxReadBytes);
    const text = tailOf(await this.#bytes(stream, start, maxReadBytes), roomForText);
    return start === 0 ? text : `[${start} bytes left out]\n${text}`;
  }

  /** Signals the command and all that it started. @throws ActionError if it does not run */
  signal(signal: NodeJS.Signals): void {
    const { state } = this;
    if (state.at !== 'running' || !isSame(state.command)) throw new ActionError(`the job ${this.handle} does not run any more`);
    try {
      process.kill(-state.command.pid, signal);
    } catch (error) {
      throw new ActionError(`the job ${this.handle} could not be signalled: ${(error as Error).message}`, { cause: error });
    }
  }

  async #bytes(stream: Stream, offset: number, most: number): Promise<Uint8Array> {
    const file = await open(join(this.folder, stream)).catch(() => undefined);
    if (!file) return new Uint8Array();
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(most), 0, most, offset);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  }

  #read<File>(name: string): File | undefined {
    try {
      return JSON.parse(readFileSync(join(this.folder, name), 'utf8')) as File;
    } catch {
      return undefined;
    }
  }
}

/** As a shell tells it: 128 and the number of the signal that ended it. */
export function exitCodeOf({ code, signal }: { code: number | null; signal: NodeJS.Signals | null }): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}
