// The host's log: pino, one JSON line an entry, or readable text on a terminal.

import pino from 'pino';

/** What can't be written is kept up to this, and then dropped. */
const maxUnwrittenBytes = 1024 * 1024;

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface HostLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): HostLog;
}

/** Writes JSON lines to a file descriptor or path; `level` is the lowest that is written. */
export function createHostLog({
  level = 'info',
  destination = 2,
}: {
  level?: LogLevel | 'fatal' | 'silent';
  destination?: number | string;
} = {}): HostLog & { level: string } {
  const out = pino.destination({ dest: destination, sync: true, mkdir: true, maxLength: maxUnwrittenBytes });
  // A disk that is full costs lines of the log, and nothing else.
  out.on('error', () => undefined);
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    out,
  );
}

export const silentLog: HostLog = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => silentLog };

function nothing(): void {}

/** Readable lines for a person at a terminal: `warning: message`. */
export function createPlainLog(out: NodeJS.WritableStream, level: LogLevel): HostLog {
  const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];
  const writer = (own: LogLevel, label: string) =>
    levels.indexOf(own) < levels.indexOf(level)
      ? nothing
      : (_fields: object, message: string) => void out.write(`${label}: ${message}\n`);
  const log: HostLog = {
    debug: writer('debug', 'debug'),
    info: writer('info', 'info'),
    warn: writer('warn', 'warning'),
    error: writer('error', 'error'),
    child: () => log,
  };
  return log;
}
