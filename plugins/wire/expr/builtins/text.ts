// Built-ins for text. Places in text are counted in bytes of UTF-8, as Go does; only `len` counts characters.

import type { Budget } from '../limits.ts';
import { bool, int, list, string, strings } from '../types.ts';
import { fail, itemsOf, TypedList, toIndex, type Value, wantText } from '../values.ts';
import { type Builtin, overloads } from './define.ts';

const textToText = overloads([[string], string]);
const pair = overloads([[string], string], [[string, string], string]);
const optional = (value: Value, name: string, otherwise: string) => (value === undefined ? otherwise : wantText(value, name));
const blank = /^[\s\u0085\ufeff]+|[\s\u0085\ufeff]+$/gu;

export const text: Readonly<Record<string, Builtin>> = {
  trim: {
    check: pair,
    run: ([value, set], { budget }) => {
      const whole = wantText(value, 'trim');
      budget.text(whole.length);
      // Go does not count the byte order mark as blank.
      if (set === undefined) return whole.replace(blank, (found) => /\ufeff.*/su.exec(found)?.[0] ?? '');
      return trimSet(whole, new Set(wantText(set, 'trim')));
    },
  },
  trimPrefix: {
    check: pair,
    run: ([value, prefix]) => {
      const [whole, part] = [wantText(value, 'trimPrefix'), optional(prefix, 'trimPrefix', ' ')];
      return whole.startsWith(part) ? whole.slice(part.length) : whole;
    },
  },
  trimSuffix: {
    check: pair,
    run: ([value, suffix]) => {
      const [whole, part] = [wantText(value, 'trimSuffix'), optional(suffix, 'trimSuffix', ' ')];
      return whole.endsWith(part) ? whole.slice(0, whole.length - part.length) : whole;
    },
  },
  upper: {
    check: textToText,
    run: ([value], { budget }) => byCharacter(wantText(value, 'upper'), upperOf, budget),
  },
  lower: {
    check: textToText,
    run: ([value], { budget }) => byCharacter(wantText(value, 'lower'), lowerOf, budget),
  },
  split: splitter('split', (parts) => parts),
  splitAfter: splitter('splitAfter', (parts, separator) =>
    parts.map((part, index) => (index < parts.length - 1 ? part + separator : part)),
  ),
  replace: {
    check: overloads([[string, string, string, int], string], [[string, string, string], string]),
    run: ([value, old, by, limit], { budget }) => {
      const [whole, from, to] = [wantText(value, 'replace'), wantText(old, 'replace'), wantText(by, 'replace')];
      return replace(whole, from, to, limit === undefined ? -1 : toIndex(limit), budget);
    },
  },
  repeat: {
    check: overloads([[string, int], string]),
    run: ([value, times], { budget }) => {
      const [whole, count] = [wantText(value, 'repeat'), toIndex(times)];
      if (count < 0) return fail(`repeat takes no negative number, such as ${count}`);
      budget.text(whole.length * count);
      budget.grow(Buffer.byteLength(whole) * count);
      return count > 1_000_000 ? fail('repeat takes numbers up to a million') : whole.repeat(count);
    },
  },
  join: {
    check: overloads([[strings, string], string], [[list, string], string], [[list], string], [[strings], string]),
    run: ([value, glue], { budget }) => {
      const items = value instanceof TypedList && value.of !== 'string' && value.of !== 'any' ? undefined : itemsOf(value);
      if (!items || value instanceof Uint8Array) return fail('join takes a list of strings');
      const between = optional(glue, 'join', '');
      budget.spend(items.length);
      budget.text(items.reduce((sum: number, item) => sum + wantText(item, 'join').length + between.length, 0));
      return items.join(between);
    },
  },
  indexOf: finder('indexOf', int, (whole, part) => bytesBefore(whole, whole.indexOf(part))),
  lastIndexOf: finder('lastIndexOf', int, (whole, part) => bytesBefore(whole, whole.lastIndexOf(part))),
  hasPrefix: finder('hasPrefix', bool, (whole, part) => whole.startsWith(part)),
  hasSuffix: finder('hasSuffix', bool, (whole, part) => whole.endsWith(part)),
};

function finder(name: string, result: typeof int | typeof bool, find: (whole: string, part: string) => Value): Builtin {
  return {
    check: overloads([[string, string], result]),
    run: ([value, part], { budget }) => {
      const whole = wantText(value, name);
      budget.text(whole.length);
      return find(whole, wantText(part, name));
    },
  };
}

function bytesBefore(whole: string, index: number): bigint {
  return BigInt(index <= 0 ? index : Buffer.byteLength(whole.slice(0, index)));
}

function trimSet(whole: string, set: ReadonlySet<string>): string {
  const characters = [...whole];
  let [from, to] = [0, characters.length];
  while (from < to && set.has(characters[from] ?? '')) from += 1;
  while (to > from && set.has(characters[to - 1] ?? '')) to -= 1;
  return characters.slice(from, to).join('');
}

/** One character for one, as Go does. */
function byCharacter(whole: string, change: (char: string) => string, budget: Budget): string {
  budget.text(whole.length);
  return Array.from(whole, change).join('');
}

/** A capital of several letters is none. */
function upperOf(char: string): string {
  const upper = char.toUpperCase();
  return [...upper].length === 1 ? upper : char;
}

/** Without the dot that JavaScript keeps of a Turkish İ. */
function lowerOf(char: string): string {
  return [...char.toLowerCase()][0] ?? char;
}

function splitter(name: string, finish: (parts: readonly string[], separator: string) => readonly string[]): Builtin {
  return {
    check: overloads([[string, string], strings], [[string, string, int], strings]),
    run: ([value, by, limit], { budget }) => {
      const [whole, separator] = [wantText(value, name), wantText(by, name)];
      const most = limit === undefined ? -1 : toIndex(limit);
      budget.text(whole.length);
      if (most === 0) return new TypedList('string', [], true);
      const parts = splitAtMost(whole, separator, most);
      budget.grow(parts.length);
      return new TypedList('string', finish(parts, separator));
    },
  };
}

function splitAtMost(whole: string, separator: string, most: number): string[] {
  // An empty separator parts characters, and an empty text has none.
  const parts = separator === '' ? [...whole] : whole.split(separator);
  if (most < 0 || parts.length <= most) return parts;
  return [...parts.slice(0, most - 1), parts.slice(most - 1).join(separator)];
}

function replace(whole: string, from: string, to: string, limit: number, budget: Budget): string {
  budget.text(whole.length);
  if (limit === 0 || from === to) return whole;
  // Nothing is found before each character and at the end.
  const parts = from === '' ? ['', ...whole] : whole.split(from);
  const found = from === '' ? [...whole].length + 1 : parts.length - 1;
  const times = limit < 0 ? found : Math.min(limit, found);
  budget.text(whole.length + times * to.length);
  if (from === '') return [...whole, ''].map((char, index) => (index < times ? to : '') + char).join('');
  return (
    parts
      .slice(0, times)
      .map((part) => part + to)
      .join('') + parts.slice(times).join(from)
  );
}
