// Where a command's result goes: standard output or a file. Small writes are gathered; whoever writes more than the reader
// takes is made to wait.

import { closeSync, openSync, writeSync } from 'node:fs';
import { printable } from '../../../core/sdk/typescript/index.ts';
import type { CommandContext } from './context.ts';

const gatheredBytes = 32 * 1024;

export class Sink {
  readonly #write: (text: string) => Promise<void>;
  readonly #file: number | undefined;
  #gathered = '';
  #written: Promise<void> = Promise.resolve();
  #flushing: NodeJS.Immediate | undefined;

  /**
   * Standard output, or the file of `--output-file`.
   * @param beforeWrite makes room on the terminal
   */
  constructor({ options, host }: CommandContext, beforeWrite: () => Promise<void> = () => Promise.resolve()) {
    const { outputFile } = options;
    const file = typeof outputFile === 'string' ? openToWrite(outputFile) : undefined;
    this.#file = file;
    this.#write = async (text) => {
      if (file !== undefined) {
        writeSync(file, text);
        return;
      }
      await beforeWrite();
      await host.terminal.write(text);
    };
  }

  /** A line, without control characters. A promise if nothing more should be written until it resolves. */
  line(text: string): Promise<void> | undefined {
    return this.painted(printable(text));
  }

  /** A line as it is, with colours; what others wrote in it has to be printable. */
  painted(text: string): Promise<void> | undefined {
    this.#gathered += `${text}\n`;
    if (this.#gathered.length >= gatheredBytes) return this.flush();
    this.#flushing ??= setImmediate(() => void this.flush());
    return undefined;
  }

  /** Writes what was gathered. @throws why it could not */
  flush(): Promise<void> {
    clearImmediate(this.#flushing);
    this.#flushing = undefined;
    const text = this.#gathered;
    this.#gathered = '';
    if (text !== '') {
      this.#written = this.#written.then(() => this.#write(text));
      // Told to whoever waits for it, at the latest in `end`.
      this.#written.catch(() => undefined);
    }
    return this.#written;
  }

  async end(): Promise<void> {
    await this.flush();
    if (this.#file !== undefined) closeSync(this.#file);
  }
}

function openToWrite(file: string): number {
  try {
    return openSync(file, 'w');
  } catch (error) {
    throw new Error(`${file} can not be written: ${(error as Error).message}`, { cause: error });
  }
}
