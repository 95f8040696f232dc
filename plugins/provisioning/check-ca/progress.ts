// What a person at a terminal sees while the check goes on, on standard error.

import { Writable } from 'node:stream';
import { SingleBar } from 'cli-progress';
import type { Host } from '../../../core/sdk/typescript/index.ts';

export interface Progress {
  /** Starts a bar, in place of the one before. */
  begin(what: string, total: number): void;
  at(done: number, note: string): void;
  /** Takes the bar away. */
  end(): Promise<void>;
}

const besideTheBar = 50;
const widestBar = 40;
const leastColumns = 60;
/** The library saves and restores where the cursor was; nothing else is printed here. */
const cursorMemory = ['\x1b7', '\x1b8'];

const nothing: Progress = { begin: () => undefined, at: () => undefined, end: () => Promise.resolve() };

/** Nothing for programs. */
export async function createProgress(host: Host, quiet: boolean): Promise<Progress> {
  const { tty, columns } = await host.terminal.info();
  if (quiet || !tty || columns < leastColumns) return nothing;
  const write = (text: string) =>
    host.terminal.write(
      cursorMemory.reduce((rest, code) => rest.replaceAll(code, ''), text),
      'stderr',
    );
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => void write(chunk.toString()).then(() => done(), done),
  });
  const bar = new SingleBar({
    format: '{what} [{bar}] {percentage}% {note}',
    barsize: Math.min(widestBar, columns - besideTheBar),
    stream: Object.assign(stream, { isTTY: true, columns }) as unknown as NodeJS.WriteStream,
    hideCursor: false,
    clearOnComplete: false,
    forceRedraw: true,
    fps: 10,
  });
  let isShown = false;
  const stop = () => {
    if (isShown) bar.stop();
    isShown = false;
  };
  return {
    begin: (what, total) => {
      stop();
      isShown = true;
      bar.start(total, 0, { what: what.padEnd(8), note: '' });
    },
    at: (done, note) => bar.update(Math.round(done), { note }),
    end: async () => {
      stop();
      await new Promise<void>((resolve) => stream.end('\r\x1b[K', () => resolve()));
    },
  };
}
