// Operators and how tightly they bind, and the built-ins that take a predicate.

export const unary: Readonly<Record<string, number>> = { not: 50, '!': 50, '-': 90, '+': 90 };
export const binary: ReadonlyMap<string, number> = new Map([
  ['|', 0],
  ['or', 10],
  ['||', 10],
  ['and', 15],
  ['&&', 15],
  ...['==', '!=', '<', '>', '>=', '<=', 'in', 'matches', 'contains', 'startsWith', 'endsWith'].map(
    (operator) => [operator, 20] as const,
  ),
  ['..', 25],
  ['+', 30],
  ['-', 30],
  ['*', 60],
  ['/', 60],
  ['%', 60],
  ['**', 100],
  ['^', 100],
  ['??', 500],
]);
export const rightAssociative: ReadonlySet<string> = new Set(['**', '^']);
export const comparisons: ReadonlySet<string> = new Set(['<', '>', '>=', '<=']);
export const negatable: ReadonlySet<string> = new Set(['contains', 'matches', 'startsWith', 'endsWith', 'in']);

/** Built-ins that take a predicate: `p` stands for it, `e` for an expression, `?` for what may be left out. */
export const predicates: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ...['all', 'none', 'any', 'one', 'filter', 'map', 'find', 'findIndex', 'findLast', 'findLastIndex', 'groupBy'].map(
    (name) => [name, ['e', 'p']] as const,
  ),
  ['count', ['e', 'p?']],
  ['sum', ['e', 'p?']],
  ['sortBy', ['e', 'p', 'e?']],
  ['reduce', ['e', 'p', 'e?']],
]);
