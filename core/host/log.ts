// The host's log: pino, one JSON line an entry, or readable text on a terminal.

import pino from 'pino';
import { printable } from '../protocol/printable.ts';

/** What can't be written is kept up to this, and then dropped. */
const maxUnwrittenBytes = 1024 * 1024;

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

export interface HostLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): HostLog;
  /** The lowest level that is written. A log that has it may be told another at any time, for its children as well. */
  level?: LogLevel | 'fatal' | 'silent';
}

const levels = { debug: 20, info: 30, warn: 40, error: 50, fatal: 60, silent: 100 } as const;
type Threshold = keyof typeof levels;

/** Writes JSON lines to a file descriptor or path; `level` is the lowest that is written. */
export function createHostLog({
  level = 'info',
  destination = 2,
}: {
  level?: Threshold;
  destination?: number | string;
} = {}): HostLog {
  const out = pino.destination({ dest: destination, sync: true, mkdir: true, maxLength: maxUnwrittenBytes });
  // A disk that is full costs lines of the log, and nothing else.
  out.on('error', () => undefined);
  const lines = pino(
    {
      level: 'trace',
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    out,
  );
  return new LeveledLog(lines, { level });
}

/** A log and its children share one level, which pino's do not. */
class LeveledLog implements HostLog {
  readonly #lines: pino.Logger;
  readonly #shared: { level: Threshold };

  constructor(lines: pino.Logger, shared: { level: Threshold }) {
    this.#lines = lines;
    this.#shared = shared;
  }

  get level(): Threshold {
    return this.#shared.level;
  }

  set level(level: Threshold) {
    this.#shared.level = level;
  }

  debug(fields: object, message: string): void {
    if (levels[this.#shared.level] <= levels.debug) this.#lines.debug(fields, message);
  }

  info(fields: object, message: string): void {
    if (levels[this.#shared.level] <= levels.info) this.#lines.info(fields, message);
  }

  warn(fields: object, message: string): void {
    if (levels[this.#shared.level] <= levels.warn) this.#lines.warn(fields, message);
  }

  error(fields: object, message: string): void {
    if (levels[this.#shared.level] <= levels.error) this.#lines.error(fields, message);
  }

  child(fields: object): HostLog {
    return new LeveledLog(this.#lines.child(fields), this.#shared);
  }
}

export const silentLog: HostLog = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => silentLog };

function nothing(): void {}

/** Readable lines for a person at a terminal: `warning: message`. */
export function createPlainLog(out: NodeJS.WritableStream, level: LogLevel): HostLog {
  const writer = (own: LogLevel, label: string) =>
    logLevels.indexOf(own) < logLevels.indexOf(level)
      ? nothing
      : (_fields: object, message: string) => void out.write(`${label}: ${printable(message)}\n`);
  const log: HostLog = {
    debug: writer('debug', 'debug'),
    info: writer('info', 'info'),
    warn: writer('warn', 'warning'),
    error: writer('error', 'error'),
    child: () => log,
  };
  return log;
}
