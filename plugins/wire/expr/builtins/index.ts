// All built-ins by name.

import type { Builtin } from './define.ts';
import { collections } from './lists.ts';
import { numbers } from './numbers.ts';
import { others } from './others.ts';
import { text } from './text.ts';

export type { Builtin, Scene } from './define.ts';

/** Those that evaluate a predicate for each element of a list. */
const loops = 'all none any one filter map find findIndex findLast findLastIndex count sum groupBy sortBy reduce'.split(' ');

const plain: ReadonlyMap<string, Builtin> = new Map(Object.entries({ ...text, ...numbers, ...collections, ...others }));
const names: ReadonlySet<string> = new Set([...plain.keys(), ...loops]);

export function isBuiltin(name: string): boolean {
  return names.has(name);
}

export function findBuiltin(name: string): Builtin | undefined {
  return plain.get(name);
}
