// Values as text: as Go prints them, and as JSON.

import { type Budget, checkDepth } from './limits.ts';
import { formatDuration, formatTime } from './time.ts';
import {
  compareText,
  type Duration,
  entriesOf,
  fail,
  isNil,
  itemsOf,
  kindOf,
  MapValue,
  type NamedNumber,
  type Time,
  type Value,
} from './values.ts';

/** Time zones are slow to ask for. */
const timeSteps = 512;

/** What `string()` gives. */
export function toText(value: Value, budget: Budget, depth = 0): string {
  checkDepth(depth);
  budget.spend(1);
  const items = itemsOf(value);
  if (items) return joined(items, '[', ' ', ']', (item) => toText(item, budget, depth + 1), budget);
  switch (kindOf(value)) {
    case 'nil':
      return '<nil>';
    case 'float':
      return floatText(value as number);
    case 'map': {
      const entries = (entriesOf(value) ?? []).sort(([a], [b]) => compareKeys(a, b));
      const pair = ([key, item]: [Value, Value]) => `${toText(key, budget, depth + 1)}:${toText(item, budget, depth + 1)}`;
      return joined(entries, 'map[', ' ', ']', pair, budget);
    }
    case 'time':
      budget.spend(timeSteps);
      return formatTime(value as Time);
    case 'duration':
      return formatDuration(value as Duration);
    case 'month':
    case 'weekday':
      return (value as NamedNumber).name;
    case 'function':
    case 'zone':
      return fail('this can not be written as a string');
    default:
      return String(value);
  }
}

/** Gathers within the budget. */
function joined<T>(
  items: readonly T[],
  open: string,
  separator: string,
  close: string,
  write: (item: T) => string,
  budget: Budget,
): string {
  let text = open;
  for (const [index, item] of items.entries()) {
    text += (index > 0 ? separator : '') + write(item);
    budget.text(text.length);
  }
  return text + close;
}

/** Go's order of keys when it prints: numbers before strings. */
function compareKeys(a: Value, b: Value): number {
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  const rank = (key: Value) => ['nil', 'bool', 'int', 'float', 'string'].indexOf(kindOf(key));
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  return (a as number) < (b as number) ? -1 : (a as number) > (b as number) ? 1 : 0;
}

/** The shortest text that reads back, with an exponent below 1e-4 and from a million on. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (Object.is(value, -0)) return '-0';
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-4 || size >= 1e6)) {
    const [digits = '', exponent = ''] = value.toExponential().split('e');
    return `${digits}e${exponent.startsWith('-') ? '-' : '+'}${exponent.slice(1).padStart(2, '0')}`;
  }
  return String(value);
}

/** What `toJSON()` gives: indented by two, keys sorted, as Go does. */
export function toJson(value: Value, budget: Budget, depth = 0): string {
  checkDepth(depth);
  budget.spend(1);
  if (isNil(value)) return 'null';
  if (value instanceof Uint8Array) return JSON.stringify(Buffer.from(value).toString('base64'));
  const pad = (by: number) => '  '.repeat(by);
  const wrapIn = <T>(items: readonly T[], open: string, close: string, write: (item: T) => string) =>
    items.length === 0
      ? open + close
      : joined(items, `${open}\n${pad(depth + 1)}`, `,\n${pad(depth + 1)}`, `\n${pad(depth)}${close}`, write, budget);
  const items = itemsOf(value);
  if (items) return wrapIn(items, '[', ']', (item) => toJson(item, budget, depth + 1));
  switch (kindOf(value)) {
    case 'float':
      return Number.isFinite(value) ? floatJson(value as number) : fail('this number can not be written as JSON');
    case 'string':
      return quote(value as string);
    case 'map': {
      if (value instanceof MapValue && value.key === 'any')
        return fail('an object with keys of any type can not be written as JSON');
      const entries = (entriesOf(value) as [string, Value][]).sort(([a], [b]) => compareText(a, b));
      return wrapIn(entries, '{', '}', ([key, item]) => `${quote(key)}: ${toJson(item, budget, depth + 1)}`);
    }
    case 'time':
      budget.spend(timeSteps);
      return JSON.stringify(formatTime(value as Time, 'rfc3339'));
    case 'duration':
      return String((value as Duration).nanoseconds);
    case 'month':
    case 'weekday':
      return String((value as NamedNumber).value);
    case 'function':
    case 'zone':
      return fail('this can not be written as JSON');
    default:
      return String(value);
  }
}

function floatJson(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

const escaped: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};

function quote(text: string): string {
  return JSON.stringify(text).replace(/[<>&\u2028\u2029]/g, (char) => escaped[char] ?? char);
}
