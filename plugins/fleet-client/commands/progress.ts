// The progress bar of a request, on standard error.

import { Writable } from 'node:stream';
import { SingleBar } from 'cli-progress';
import type { CommandContext } from './context.ts';

export interface Progress {
  start(total: number): void;
  advance(): void;
  stop(): void;
}

const leastColumns = 35;
const besideTheBar = 30;
const widestBar = 80;

/** Nothing for programs; one line where there is no room for a bar; else a bar with times and percent. */
export function createProgress(context: CommandContext, what: string): Progress {
  const { options, terminal, host } = context;
  const off = ['np', 'json', 'jsonl', 'senders', 'replyTo'].some((name) => options[name]);
  if (off) return { start: () => undefined, advance: () => undefined, stop: () => undefined };
  if (!terminal.tty || terminal.columns < leastColumns) {
    return {
      start: (total) => void context.tell(`Invoking ${what} action on ${total} nodes`),
      advance: () => undefined,
      stop: () => undefined,
    };
  }
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => void host.terminal.write(chunk.toString(), 'stderr').then(() => done(), done),
  });
  const bar = new SingleBar({
    format: '{duration_formatted} {value} / {total} [{bar}] {percentage}%',
    barsize: Math.min(widestBar, terminal.columns - besideTheBar),
    stream: Object.assign(stream, { isTTY: true, columns: terminal.columns }) as unknown as NodeJS.WriteStream,
    hideCursor: false,
    clearOnComplete: false,
    stopOnComplete: false,
    fps: 10,
  });
  let started = false;
  return {
    start: (total) => {
      started = true;
      bar.start(total, 0);
    },
    advance: () => bar.increment(),
    stop: () => {
      if (started) bar.stop();
    },
  };
}
