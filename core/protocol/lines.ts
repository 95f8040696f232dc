// Framing: bytes to lines and lines to bytes. Knows the cap, not what a line says.

import { isUtf8 } from 'node:buffer';
import type { Writable } from 'node:stream';

const newline = 10;
/** What a decoder puts in the place of bytes that are not UTF-8. */
const replacement = '\ufffd';

export interface LineReaderOptions {
  /** Longest accepted line in bytes, without its newline. */
  readonly maxLineBytes: number;
  readonly onLine: (line: string) => void;
  /** A line that was longer was skipped to its end. Called once a line, with its first 80 characters. */
  readonly onOversized: (start: string) => void;
  /** Takes lines that are not UTF-8, as far as they can be read. Default: `onLine`. */
  readonly onNotUtf8?: (line: string) => void;
}

/** Splits a byte stream at newlines. Whole lines of one chunk are decoded at once; a partial one is held, joined once. */
export class LineReader {
  readonly #options: LineReaderOptions;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #skipping = false;

  constructor(options: LineReaderOptions) {
    this.#options = options;
  }

  push(chunk: Buffer): void {
    const end = chunk.lastIndexOf(newline);
    if (end === -1) {
      this.#hold(chunk);
      return;
    }
    let from = 0;
    if (this.#heldBytes > 0 || this.#skipping) {
      from = chunk.indexOf(newline) + 1;
      this.#hold(chunk.subarray(0, from - 1));
      this.#release();
    }
    if (from <= end) this.#lines(chunk, from, end);
    if (end + 1 < chunk.length) this.#hold(chunk.subarray(end + 1));
  }

  #lines(chunk: Buffer, from: number, end: number): void {
    const { onLine, maxLineBytes } = this.#options;
    const mayExceed = end - from > maxLineBytes;
    const text = chunk.toString('utf8', from, end);
    // The character may have been sent as such, so only its presence makes a second look worth while.
    if (text.includes(replacement) && !isUtf8(chunk.subarray(from, end))) {
      this.#eachLine(chunk.subarray(from, end));
      return;
    }
    for (let start = 0; start <= text.length; ) {
      const found = text.indexOf('\n', start);
      const stop = found === -1 ? text.length : found;
      const line = text.slice(start, stop);
      start = stop + 1;
      if (mayExceed && Buffer.byteLength(line) > maxLineBytes) this.#options.onOversized(line.slice(0, 80));
      else if (line.length > 0) onLine(line);
    }
  }

  /** Tells the lines that are UTF-8 from those that are not. */
  #eachLine(bytes: Buffer): void {
    for (let start = 0; start <= bytes.length; ) {
      const found = bytes.indexOf(newline, start);
      const stop = found === -1 ? bytes.length : found;
      this.#whole(bytes.subarray(start, stop));
      start = stop + 1;
    }
  }

  #whole(bytes: Buffer): void {
    const { onLine, onNotUtf8 = onLine, onOversized, maxLineBytes } = this.#options;
    if (bytes.length === 0) return;
    const line = bytes.toString('utf8');
    if (bytes.length > maxLineBytes) onOversized(line.slice(0, 80));
    else if (line.includes(replacement) && !isUtf8(bytes)) onNotUtf8(line);
    else onLine(line);
  }

  #hold(part: Buffer): void {
    if (this.#skipping || part.length === 0) return;
    this.#held.push(part);
    this.#heldBytes += part.length;
    if (this.#heldBytes <= this.#options.maxLineBytes) return;
    const start = Buffer.concat(this.#held, Math.min(this.#heldBytes, 320)).toString('utf8').slice(0, 80);
    this.#held = [];
    this.#heldBytes = 0;
    this.#skipping = true;
    this.#options.onOversized(start);
  }

  #release(): void {
    if (this.#skipping) {
      this.#skipping = false;
      return;
    }
    const bytes = Buffer.concat(this.#held, this.#heldBytes);
    this.#held = [];
    this.#heldBytes = 0;
    this.#whole(bytes);
  }
}

/** Gathers the lines of one turn of the event loop into one write. All senders share one wait when the stream is full. */
export class LineWriter {
  readonly #out: Writable;
  #buffered = '';
  #scheduled = false;
  #full: Promise<void> | undefined;
  #resume: (() => void) | undefined;

  constructor(out: Writable) {
    this.#out = out;
    out.on('drain', () => this.#drained());
    out.on('close', () => this.#drained());
  }

  /** Queues a line. Returns a promise to wait for before sending more, if the stream is full. */
  send(line: string): Promise<void> | undefined {
    this.#buffered += `${line}\n`;
    if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(() => this.flush());
    }
    return this.#full;
  }

  flush(): void {
    this.#scheduled = false;
    if (this.#buffered === '' || this.#out.destroyed || this.#out.writableEnded) return;
    const text = this.#buffered;
    this.#buffered = '';
    if (this.#out.write(text) || this.#full) return;
    this.#full = new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  #drained(): void {
    this.#full = undefined;
    this.#resume?.();
    this.#resume = undefined;
  }
}
