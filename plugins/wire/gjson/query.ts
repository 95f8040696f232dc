// Conditions of `#(…)`.

import type { Query } from './path.ts';
import { looseNumber } from './values.ts';

/** Whether a value passes; undefined is a value that is not there. */
export function passes({ operator, value: given }: Query, found: unknown): boolean {
  const [value, wanted] = given.startsWith('~') ? asTruth(found, given.slice(1)) : [found, given];
  if (value === undefined) return false;
  if (operator === '') return true;
  if (typeof value === 'string') {
    if (operator === '%') return fits(value, wanted);
    if (operator === '!%') return !fits(value, wanted);
    return ordered(value === wanted ? 0 : Buffer.compare(Buffer.from(value), Buffer.from(wanted)), operator);
  }
  if (typeof value === 'number') return orderedNumbers(value, looseNumber(wanted), operator);
  return typeof value === 'boolean' && compareTruth(value, wanted, operator);
}

/** `~true` asks for what is like true, and so on. */
function asTruth(value: unknown, like: string): readonly [unknown, string] {
  const truth: Readonly<Record<string, () => boolean>> = {
    '*': () => value !== undefined,
    null: () => value === null || value === undefined,
    true: () => isLike(value, true),
    false: () => isLike(value, false),
  };
  const test = Object.hasOwn(truth, like) ? truth[like] : undefined;
  return test ? [test(), 'true'] : [undefined, ''];
}

function isLike(value: unknown, wanted: boolean): boolean {
  if (typeof value === 'number') return (value !== 0) === wanted;
  if (typeof value === 'boolean') return value === wanted;
  if (typeof value === 'string') return (wanted ? ['1', 't', 'true'] : ['0', 'f', 'false']).includes(value.toLowerCase());
  return (value === null || value === undefined) && !wanted;
}

function ordered(order: number, operator: string): boolean {
  switch (operator) {
    case '=':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    default:
      return operator === '>=' && order >= 0;
  }
}

function orderedNumbers(a: number, b: number, operator: string): boolean {
  if (Number.isNaN(a) || Number.isNaN(b)) return operator === '!=';
  return ordered(a < b ? -1 : a > b ? 1 : 0, operator);
}

function compareTruth(value: boolean, wanted: string, operator: string): boolean {
  const same = wanted === String(value);
  if (operator === '=') return same;
  if (operator === '!=') return !same;
  // True is above false.
  if (operator === (value ? '>' : '<')) return wanted === String(!value);
  return operator === (value ? '>=' : '<=');
}

/** Whether a text fits `*` and `?`. In linear steps for each star. */
export function fits(text: string, pattern: string): boolean {
  const wanted = readPattern(pattern);
  const characters = [...text];
  let [at, place, star, retry] = [0, 0, -1, 0];
  while (at < characters.length) {
    const part = wanted[place];
    if (part === '*') {
      star = place;
      place += 1;
      retry = at;
    } else if (part !== undefined && (part === '?' || part.slice(1) === characters[at])) {
      at += 1;
      place += 1;
    } else if (star !== -1) {
      retry += 1;
      at = retry;
      place = star + 1;
    } else return false;
  }
  return wanted.slice(place).every((part) => part === '*');
}

/** `*`, `?`, and `=x` for a character x. */
function readPattern(pattern: string): string[] {
  const parts: string[] = [];
  const characters = [...pattern];
  for (let index = 0; index < characters.length; index += 1) {
    const char = characters[index] as string;
    if (char === '\\') {
      index += 1;
      parts.push(`=${characters[index] ?? '\\?'}`);
    } else if (char !== '*' || parts.at(-1) !== '*') parts.push(char === '*' || char === '?' ? char : `=${char}`);
  }
  return parts;
}
