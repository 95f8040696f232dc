// A child's stderr is a log, never a risk: JSON lines keep their level, any other text is logged as it is.

import type { Readable } from 'node:stream';
import { LineReader } from '../protocol/lines.ts';
import type { HostLog, LogLevel } from './log.ts';

const maxLogLineBytes = 64 * 1024;
const kept = 20;
const levels: ReadonlySet<string> = new Set<LogLevel>(['debug', 'info', 'warn', 'error']);

/** Logs each line, reworded; returns the last ones, for the explanation of a failed start. */
export function logStderr(stream: Readable, log: HostLog, reword: (line: string) => string): readonly string[] {
  const last: string[] = [];
  const onLine = (said: string) => {
    const line = reword(said);
    last.push(line);
    if (last.length > kept) last.shift();
    logLine(line, log);
  };
  const reader = new LineReader({
    maxLineBytes: maxLogLineBytes,
    onLine,
    onOversized: (start) => onLine(`${start}… (the rest of this line, over ${maxLogLineBytes} bytes, was left out)`),
  });
  stream.on('data', (chunk: Buffer) => reader.push(chunk));
  stream.on('end', () => reader.push(Buffer.from('\n')));
  stream.on('error', () => undefined);
  return last;
}

export function logLine(line: string, log: HostLog): void {
  const entry = line.startsWith('{') ? parse(line) : undefined;
  if (!entry) {
    log.info({}, line);
    return;
  }
  const { level, message, msg, ...fields } = entry;
  const text = typeof message === 'string' ? message : typeof msg === 'string' ? msg : undefined;
  if (text === undefined) log.info({}, line);
  else log[levels.has(String(level)) ? (level as LogLevel) : 'info'](fields, text);
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
