// What can be wrong with an expression, and where in it.

export type ExprCode = 'EXPR_SYNTAX' | 'EXPR_TYPE' | 'EXPR_RUN' | 'EXPR_LIMIT';

/** An expression that can't be read, makes no sense, failed, or was stopped. With a place, the message shows it. */
export class ExprError extends Error {
  override readonly name = 'ExprError';
  readonly code: ExprCode;

  constructor(code: ExprCode, message: string, place?: { readonly source: string; readonly at: number }) {
    super(place ? `${message} ${showPlace(place.source, place.at)}` : message);
    this.code = code;
  }
}

/** Line and column, and the line itself with a mark below. Long lines are cut around the place. */
function showPlace(source: string, at: number): string {
  const before = source.slice(0, at).split('\n');
  const lineStart = at - (before.at(-1)?.length ?? 0);
  const line = source.slice(lineStart).split('\n')[0]?.replaceAll('\t', ' ') ?? '';
  const column = at - lineStart;
  const from = Math.max(0, column - 60);
  return `(line ${before.length}, column ${column + 1})\n  ${line.slice(from, from + 120)}\n  ${' '.repeat(column - from)}^`;
}
