// How an error reaches the person at the terminal: one message, exit code 1, a stack only when asked for.

import { printable } from '../protocol/printable.ts';

/** Prints what went wrong and sets the exit code. */
export function fail(error: unknown, exitCode = 1): void {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`muster: ${printable(message)}\n`);
  if (process.env.MUSTER_DEBUG && error instanceof Error && error.stack) process.stderr.write(`${printable(error.stack)}\n`);
  process.exitCode = exitCode;
}
