// How an error reaches the person at the terminal: one message, exit code 1, a stack only when asked for.

/** Prints what went wrong and sets the exit code. */
export function fail(error: unknown, exitCode = 1): void {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`muster: ${printable(message)}\n`);
  if (process.env.MUSTER_DEBUG && error instanceof Error && error.stack) process.stderr.write(`${error.stack}\n`);
  process.exitCode = exitCode;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const unprintable = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** A message may quote what came from elsewhere; control characters would act on the terminal. */
function printable(text: string): string {
  return text.replace(unprintable, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
