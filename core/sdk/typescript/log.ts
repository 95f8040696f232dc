// The plugin's log: JSON lines on stderr for a process, a function of the host for an inline plugin.

export type Level = 'debug' | 'info' | 'warn' | 'error';
export type Fields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

export type LogSink = (level: Level, message: string, fields: Fields) => void;

const noFields: Fields = {};

export function createLog(sink: LogSink): Log {
  return {
    debug: (message, fields = noFields) => sink('debug', message, fields),
    info: (message, fields = noFields) => sink('info', message, fields),
    warn: (message, fields = noFields) => sink('warn', message, fields),
    error: (message, fields = noFields) => sink('error', message, fields),
  };
}

/** Writes each entry as one JSON line to stderr, where the host reads it. */
export const stderrSink: LogSink = (level, message, fields) => {
  process.stderr.write(`${JSON.stringify({ ...fields, level, message })}\n`);
};
