// Modifiers: `@reverse`, `@keys`, `@flatten:{"deep":true}`.

import { isModifier } from './names.ts';
import { balancedEnd } from './path.ts';
import { Members, membersOf, parseText, toText } from './values.ts';

export interface Modifier {
  readonly name: string;
  readonly argument: string;
  readonly rest: string;
}

/** The modifier that a path begins with; undefined if it is none. */
export function readModifier(path: string): Modifier | undefined {
  const [all = '', name = '', mark = ''] = /^@([^.|:]*)(:?)/.exec(path) ?? [];
  if (!isModifier(name)) return undefined;
  const rest = path.slice(all.length);
  if (mark === '' || rest === '') return { name, argument: '', rest };
  const end = /^["{[]/.test(rest) ? groupEnd(rest) : argumentEnd(rest);
  return { name, argument: rest.slice(0, end), rest: rest.slice(end) };
}

/** A plain argument goes up to a pipe, over groups in brackets and quotes. */
function argumentEnd(text: string): number {
  let index = 0;
  while (index < text.length && text[index] !== '|')
    index += '{["('.includes(text[index] as string) ? groupEnd(text.slice(index)) : 1;
  return index;
}

function groupEnd(text: string): number {
  if (!text.startsWith('"')) return balancedEnd(text);
  return /^"(?:[^"\\]|\\.)*"?/s.exec(text)?.[0].length ?? text.length;
}

/** @param dig how a path is looked up, for `@dig` */
export function modify(value: unknown, { name, argument }: Modifier, dig: (value: unknown, path: string) => unknown): unknown {
  switch (name) {
    case 'reverse':
      return reverse(value);
    case 'flatten':
      return Array.isArray(value) ? value.flat(option(argument, 'deep') ? Number.POSITIVE_INFINITY : 1) : value;
    case 'join':
      return Array.isArray(value) ? join(value, option(argument, 'preserve')) : value;
    case 'keys':
      return keys(value);
    case 'values':
      return values(value);
    case 'tostr':
      return value === undefined ? '' : toText(value);
    case 'fromstr':
      return value === undefined || value === null ? undefined : typeof value === 'string' ? parseText(value) : value;
    case 'group':
      return group(value);
    case 'dig': {
      const found: unknown[] = [];
      collect(value, argument, found, dig);
      return found;
    }
    case 'pretty':
      return option(argument, 'sortKeys') ? sortKeys(value) : value;
    default:
      // `@this`, `@valid` and `@ugly` change nothing of a value that was read.
      return value;
  }
}

function option(argument: string, name: string): boolean {
  const value = membersOf(parseText(argument))?.findLast(([key]) => key === name)?.[1];
  if (typeof value === 'string') return ['1', 't', 'true'].includes(value.toLowerCase());
  return value === true || (typeof value === 'number' && value !== 0);
}

function reverse(value: unknown): unknown {
  if (Array.isArray(value)) return [...value].reverse();
  const members = membersOf(value);
  return members ? new Members([...members].reverse()) : value;
}

function join(list: readonly unknown[], preserve: boolean): Members {
  const all = list.flatMap((item) => membersOf(item) ?? []);
  return new Members(preserve ? all : [...new Map(all)]);
}

/** Elements of a list, and a value that is neither, have null for a key. */
function keys(value: unknown): unknown[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value.map(() => null);
  return membersOf(value)?.map(([key]) => key) ?? [null];
}

function values(value: unknown): unknown {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : (membersOf(value)?.map(([, item]) => item) ?? [value]);
}

/** An object of lists as a list of objects. */
function group(value: unknown): unknown {
  const members = membersOf(value);
  if (!members) return undefined;
  const rows: [string, unknown][][] = [];
  for (const [key, items] of members) {
    if (!Array.isArray(items)) continue;
    items.forEach((item, index) => {
      rows[index] ??= [];
      rows[index].push([key, item]);
    });
  }
  return rows.map((row) => new Members(row));
}

function collect(value: unknown, path: string, into: unknown[], dig: (value: unknown, path: string) => unknown): void {
  const found = dig(value, path);
  if (found !== undefined) into.push(found);
  const below = Array.isArray(value) ? value : (membersOf(value)?.map(([, item]) => item) ?? []);
  for (const item of below) collect(item, path, into, dig);
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  const members = membersOf(value);
  return members
    ? new Members([...members].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => [key, sortKeys(item)]))
    : value;
}
