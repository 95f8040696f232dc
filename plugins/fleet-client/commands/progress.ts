// The progress bar of a request, on standard error.

import { Writable } from 'node:stream';
import { SingleBar } from 'cli-progress';
import type { CommandContext } from './context.ts';

export interface Progress {
  start(total: number): void;
  advance(): void;
  /** Takes the bar away, so that something else can be printed in its place; it comes back below. */
  clear(): Promise<void>;
  /** Leaves the bar as it is. */
  stop(): Promise<void>;
}

const leastColumns = 35;
const besideTheBar = 30;
const widestBar = 80;
const [red, green, reset] = ['\x1b[31m', '\x1b[32m', '\x1b[0m'];
/** The library saves and restores where the cursor was, which is wrong once something was printed above the bar. */
const cursorMemory = ['\x1b7', '\x1b8'];

const nothing: Progress = {
  start: () => undefined,
  advance: () => undefined,
  clear: () => Promise.resolve(),
  stop: () => Promise.resolve(),
};

/** Nothing for programs; one line where there is no room for a bar; else a bar with times and percent. */
export function createProgress(context: CommandContext, what: string): Progress {
  const { options, terminal, host } = context;
  if (['np', 'json', 'jsonl', 'senders', 'replyTo'].some((name) => options[name])) return nothing;
  if (!terminal.tty || terminal.columns < leastColumns)
    return { ...nothing, start: (total) => void context.tell(`Invoking ${what} action on ${total} nodes`) };
  const write = (text: string) =>
    host.terminal.write(
      cursorMemory.reduce((rest, code) => rest.replaceAll(code, ''), text),
      'stderr',
    );
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => void write(chunk.toString()).then(() => done(), done),
  });
  const bar = new SingleBar({
    format: `{duration_formatted} {color}{value} / {total}${terminal.color ? reset : ''} [{bar}] {percentage}%`,
    barsize: Math.min(widestBar, terminal.columns - besideTheBar),
    stream: Object.assign(stream, { isTTY: true, columns: terminal.columns }) as unknown as NodeJS.WriteStream,
    hideCursor: false,
    clearOnComplete: false,
    stopOnComplete: false,
    forceRedraw: true,
    linewrap: true,
    fps: 10,
  });
  let [isShown, done, total] = [false, 0, 0];
  const payload = () => ({ color: terminal.color ? (done < total ? red : green) : '' });
  return {
    start: (targets) => {
      [isShown, total] = [true, targets];
      bar.start(total, 0, payload());
    },
    advance: () => {
      done += 1;
      bar.update(Math.min(done, total), payload());
    },
    clear: () => (isShown ? new Promise((resolve) => stream.write('\r\x1b[K', () => resolve())) : Promise.resolve()),
    stop: async () => {
      if (!isShown) return;
      isShown = false;
      bar.stop();
      await new Promise<void>((resolve) => stream.end(() => resolve()));
    },
  };
}
