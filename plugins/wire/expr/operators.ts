// What operators do, by Go's rules: whole numbers and floats are told apart, and nothing turns into anything else unasked.

import { type Budget, checkDepth } from './limits.ts';
import {
  compareText,
  Duration,
  entriesOf,
  fail,
  isNil,
  itemsOf,
  kindOf,
  MapValue,
  NamedNumber,
  sizeOf,
  spell,
  Time,
  TypedList,
  toFloat,
  toIndex,
  toInt,
  type Value,
  wrap,
} from './values.ts';

/** `==`: numbers by value, lists by their elements, nil of any kind. */
export function equal(left: Value, right: Value, budget: Budget, depth = 0): boolean {
  if (left === right && typeof left !== 'object') return true;
  if (isNumeric(left) && isNumeric(right))
    return toFloat(left) === toFloat(right) && (typeof left === typeof right ? left === right : true);
  if (left instanceof Time && right instanceof Time) return left.nanoseconds === right.nanoseconds;
  if (isNil(left) && isNil(right)) return true;
  const [a, b] = [itemsOf(left), itemsOf(right)];
  if (a && b) {
    if (isTyped(left) && isTyped(right) && listType(left) !== listType(right)) return false;
    return equalItems(a, b, budget, depth, isTyped(left) && isTyped(right) ? identical : equal);
  }
  return identical(left, right, budget, depth);
}

/** Equal down to the types of numbers and lists inside. */
export function identical(left: Value, right: Value, budget: Budget, depth = 0): boolean {
  budget.spend(1);
  checkDepth(depth);
  if (left === right) return true;
  const kind = kindOf(left);
  if (kind !== kindOf(right)) return false;
  if (kind === 'list' || kind === 'bytes') {
    if (listType(left) !== listType(right) || isNil(left) !== isNil(right)) return false;
    return equalItems(itemsOf(left) ?? [], itemsOf(right) ?? [], budget, depth, identical);
  }
  if (kind === 'map') return identicalMaps(left, right, budget, depth);
  if (left instanceof Duration && right instanceof Duration) return left.nanoseconds === right.nanoseconds;
  if (left instanceof NamedNumber && right instanceof NamedNumber) return left.value === right.value;
  return false;
}

function identicalMaps(left: Value, right: Value, budget: Budget, depth: number): boolean {
  if (mapKey(left) !== mapKey(right) || isNil(left) !== isNil(right) || sizeOf(left) !== sizeOf(right)) return false;
  return (entriesOf(left) ?? []).every(([key, value]) => {
    const found = find(right, key);
    return found !== undefined && identical(value, found, budget, depth + 1);
  });
}

function equalItems(
  left: readonly Value[],
  right: readonly Value[],
  budget: Budget,
  depth: number,
  same: (a: Value, b: Value, budget: Budget, depth: number) => boolean,
): boolean {
  checkDepth(depth);
  if (left.length !== right.length) return false;
  budget.spend(left.length);
  return left.every((item, index) => same(item, right[index], budget, depth + 1));
}

function isNumeric(value: Value): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

function isTyped(value: Value): boolean {
  return value instanceof Uint8Array || (value instanceof TypedList && value.of !== 'any');
}

function listType(value: Value): string {
  if (value instanceof Uint8Array) return 'bytes';
  return value instanceof TypedList ? value.of : 'any';
}

function mapKey(value: Value): string {
  return value instanceof MapValue ? value.key : 'string';
}

/** `<` and its like: below, equal or above zero. NaN is none of them. */
export function compare(left: Value, right: Value): number {
  if (isNumeric(left) && isNumeric(right)) {
    if (typeof left === 'bigint' && typeof right === 'bigint') return left < right ? -1 : left > right ? 1 : 0;
    return toFloat(left) - toFloat(right) || (toFloat(left) === toFloat(right) ? 0 : infinite(toFloat(left), toFloat(right)));
  }
  if (typeof left === 'string' && typeof right === 'string') return compareText(left, right);
  if ((left instanceof Time && right instanceof Time) || (left instanceof Duration && right instanceof Duration))
    return left.nanoseconds < right.nanoseconds ? -1 : left.nanoseconds > right.nanoseconds ? 1 : 0;
  return fail(`${spell(left)} and ${spell(right)} can't be compared`);
}

function infinite(left: number, right: number): number {
  return left < right ? -1 : left > right ? 1 : Number.NaN;
}

export function add(left: Value, right: Value, budget: Budget): Value {
  if (typeof left === 'string' && typeof right === 'string') {
    budget.text(left.length + right.length);
    return left + right;
  }
  if (left instanceof Time && right instanceof Duration) return new Time(left.nanoseconds + right.nanoseconds, left.zone);
  if (left instanceof Duration && right instanceof Time) return new Time(left.nanoseconds + right.nanoseconds, right.zone);
  if (left instanceof Duration && right instanceof Duration) return new Duration(left.nanoseconds + right.nanoseconds);
  return calculate('+', left, right);
}

export function subtract(left: Value, right: Value): Value {
  if (left instanceof Time && right instanceof Duration) return new Time(left.nanoseconds - right.nanoseconds, left.zone);
  if ((left instanceof Time && right instanceof Time) || (left instanceof Duration && right instanceof Duration))
    return new Duration(left.nanoseconds - right.nanoseconds);
  return calculate('-', left, right);
}

export function multiply(left: Value, right: Value): Value {
  if (left instanceof Duration || right instanceof Duration) {
    const [a, b] = [left, right].map((value) => (value instanceof Duration ? value.nanoseconds : value));
    const isFloat = typeof a === 'number' || typeof b === 'number';
    if (!isNumeric(a) || !isNumeric(b)) return fail(`* can't take ${spell(left)} and ${spell(right)}`);
    if (isFloat) return toFloat(a) * toFloat(b);
    return new Duration((a as bigint) * (b as bigint));
  }
  return calculate('*', left, right);
}

function calculate(operator: '+' | '-' | '*', left: Value, right: Value): number | bigint {
  if (!isNumeric(left) || !isNumeric(right)) return fail(`${operator} can't take ${spell(left)} and ${spell(right)}`);
  if (typeof left === 'bigint' && typeof right === 'bigint')
    return wrap(operator === '+' ? left + right : operator === '-' ? left - right : left * right);
  const [a, b] = [toFloat(left), toFloat(right)];
  return operator === '+' ? a + b : operator === '-' ? a - b : a * b;
}

/** Always a float. */
export function divide(left: Value, right: Value): number {
  return toFloat(left) / toFloat(right);
}

export function modulo(left: Value, right: Value): bigint {
  if (typeof left !== 'bigint' || typeof right !== 'bigint')
    return fail(`% takes whole numbers; write int(…) around ${spell(typeof left === 'bigint' ? right : left)}`);
  return right === 0n ? fail('division by zero') : wrap(left % right);
}

export function power(left: Value, right: Value): number {
  const [base, exponent] = [toFloat(left), toFloat(right)];
  // One to any power is one, and minus one to an infinite one, unlike in JavaScript.
  if (base === 1 || (base === -1 && Math.abs(exponent) === Number.POSITIVE_INFINITY)) return 1;
  return base ** exponent;
}

export function negate(value: Value): Value {
  if (typeof value === 'bigint') return wrap(-value);
  return typeof value === 'number' ? -value : fail(`- can't take ${spell(value)}`);
}

export function isIn(needle: Value, hay: Value, budget: Budget): boolean {
  if (hay === null || hay === undefined) return false;
  const items = itemsOf(hay);
  if (items) {
    budget.spend(items.length);
    return items.some((item) => equal(item, needle, budget));
  }
  // A time has parts that may be asked for, and none that are found.
  if (hay instanceof Time && typeof needle === 'string') return false;
  if (kindOf(hay) !== 'map') return fail(`'in' looks into lists and objects, not into ${spell(hay)}`);
  return find(hay, needle) !== undefined;
}

/** The value at a key; undefined if there is none. nil stands for the empty key. */
export function find(map: Value, key: Value): Value {
  if (map instanceof MapValue && map.key === 'any') return map.entries.get(keyIn(map.entries, key));
  const name = isNil(key) ? '' : key;
  if (typeof name !== 'string') return fail(`keys of this object are strings, not ${spell(key)}`);
  if (map instanceof MapValue) return map.entries.get(name);
  return Object.hasOwn(map as object, name) ? ((map as Record<string, unknown>)[name] ?? null) : undefined;
}

/** A value as a key of an object with any keys: the same time or duration is the same key. */
export function keyIn(entries: ReadonlyMap<Value, Value>, key: Value): Value {
  switch (kindOf(key)) {
    case 'list':
    case 'map':
    case 'bytes':
    case 'function':
      return fail(`${spell(key)} can't be a key`);
    case 'time':
    case 'duration':
    case 'month':
    case 'weekday':
      return [...entries.keys()].find((other) => kindOf(other) === kindOf(key) && number(other) === number(key)) ?? key;
    default:
      return key ?? null;
  }
}

function number(value: Value): bigint | undefined {
  if (value instanceof Time || value instanceof Duration) return value.nanoseconds;
  return value instanceof NamedNumber ? value.value : undefined;
}

/** `a[i]` and `a.name`. */
export function fetch(from: Value, at: Value): Value {
  const items = typeof from === 'string' ? Buffer.from(from) : itemsOf(from);
  if (items) {
    const index = toIndex(at);
    const place = index < 0 ? items.length + index : index;
    if (place < 0 || place >= items.length) return fail(`there is no element ${index}, the list has ${items.length}`);
    const item = items[place] as Value;
    return typeof from === 'string' ? BigInt(item as number) : item;
  }
  if (kindOf(from) === 'map') return find(from, at) ?? (from instanceof MapValue ? from.missing : null);
  return fail(`${spell(from)} has no ${typeof at === 'string' ? `field ${at}` : 'elements'}`);
}

export function slice(from: Value, start: Value, end: Value): Value {
  const data = typeof from === 'string' ? Buffer.from(from) : from;
  const items = data instanceof Uint8Array ? data : itemsOf(data);
  if (!items) return fail(`${spell(from)} can't be sliced`);
  const bound = (value: Value) => {
    const index = toIndex(value);
    return Math.min(Math.max(index < 0 ? items.length + index : index, 0), items.length);
  };
  const to = end === undefined ? items.length : bound(end);
  const cut = items.slice(Math.min(start === undefined ? 0 : bound(start), to), to);
  if (typeof from === 'string') return Buffer.from(cut as Uint8Array).toString();
  return from instanceof TypedList ? new TypedList(from.of, cut as readonly Value[], from.isNil) : cut;
}

/** `1..3`, both ends included. */
export function range(from: Value, to: Value, budget: Budget): TypedList {
  const [first, last] = [toInt(from), toInt(to)];
  const size = Number(wrap(last - first + 1n));
  if (size <= 0) return new TypedList('int', []);
  budget.grow(size);
  return new TypedList(
    'int',
    Array.from({ length: size }, (_none, index) => first + BigInt(index)),
  );
}
