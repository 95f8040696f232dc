// Values of expressions. Those of JSON are themselves: null, booleans, strings, lists, objects; a JavaScript number is a
// float, as all numbers in facts are. What JSON has no form for: whole numbers are bigints, and the classes below.

import { ExprError } from './errors.ts';
import { type FunctionType, kindWords } from './types.ts';

export type Value = unknown;

/** A list whose elements are all of one type, which is not the same as a list that may hold anything. */
export class TypedList {
  readonly of: 'any' | 'string' | 'int' | 'pair';
  readonly items: readonly Value[];
  /** No list at all, which behaves like an empty one. */
  readonly isNil: boolean;

  constructor(of: TypedList['of'], items: readonly Value[], isNil = false) {
    this.of = of;
    this.items = items;
    this.isNil = isNil;
  }
}

/** An object whose keys may be anything, or that is nil and behaves like an empty one. */
export class MapValue {
  readonly key: 'string' | 'any';
  readonly entries: ReadonlyMap<Value, Value>;
  readonly isNil: boolean;
  /** What stands at keys that are not there. */
  readonly missing: Value;

  constructor(
    key: 'string' | 'any',
    entries: ReadonlyMap<Value, Value>,
    { isNil = false, missing = null }: { isNil?: boolean; missing?: Value } = {},
  ) {
    this.key = key;
    this.entries = entries;
    this.isNil = isNil;
    this.missing = missing;
  }
}

/** What a call costs, in steps, so that a loop of calls reads the clock. */
const callSteps = 1_024;

export class NativeFunction {
  readonly type: FunctionType;
  readonly call: (...args: Value[]) => Value;
  /** Takes no nil for a string. Others take it for an empty one. */
  readonly strict: boolean;
  readonly steps: number;

  constructor(type: FunctionType, call: (...args: Value[]) => Value, { strict = false, steps = callSteps } = {}) {
    this.type = type;
    this.call = call;
    this.strict = strict;
    this.steps = steps;
  }
}

/** A moment: nanoseconds since 1970, and the zone that it is told in. */
export class Time {
  readonly nanoseconds: bigint;
  readonly zone: Zone;

  constructor(nanoseconds: bigint, zone: Zone) {
    this.nanoseconds = nanoseconds;
    this.zone = zone;
  }
}

export class Duration {
  readonly nanoseconds: bigint;

  constructor(nanoseconds: bigint) {
    this.nanoseconds = BigInt.asIntN(64, nanoseconds);
  }
}

/** A zone by its name, or one that is so many seconds ahead of UTC. */
export class Zone {
  readonly name: string;
  readonly offset: number | undefined;

  constructor(name: string, offset?: number) {
    this.name = name;
    this.offset = offset;
  }
}

/** A month or weekday: a number that is told by its name. */
export class NamedNumber {
  readonly of: 'month' | 'weekday';
  readonly value: bigint;
  readonly name: string;

  constructor(of: NamedNumber['of'], value: bigint, name: string) {
    this.of = of;
    this.value = value;
    this.name = name;
  }
}

export const nilMap = new MapValue('string', new Map(), { isNil: true });
export const nilList = new TypedList('any', [], true);

export type ValueKind =
  | 'nil'
  | 'bool'
  | 'int'
  | 'float'
  | 'string'
  | 'bytes'
  | 'list'
  | 'map'
  | 'time'
  | 'duration'
  | 'zone'
  | 'month'
  | 'weekday'
  | 'function';

export function kindOf(value: Value): ValueKind {
  switch (typeof value) {
    case 'boolean':
      return 'bool';
    case 'number':
      return 'float';
    case 'bigint':
      return 'int';
    case 'string':
      return 'string';
    case 'object':
      return value === null ? 'nil' : objectKind(value);
    default:
      return 'nil';
  }
}

function objectKind(value: object): ValueKind {
  if (Array.isArray(value) || value instanceof TypedList) return 'list';
  if (value instanceof MapValue) return 'map';
  if (value instanceof NativeFunction) return 'function';
  if (value instanceof Uint8Array) return 'bytes';
  if (value instanceof Time) return 'time';
  if (value instanceof Duration) return 'duration';
  if (value instanceof Zone) return 'zone';
  if (value instanceof NamedNumber) return value.of;
  return 'map';
}

export function isNil(value: Value): boolean {
  return value === null || value === undefined || ((value instanceof MapValue || value instanceof TypedList) && value.isNil);
}

/** The elements of a list; undefined if it is none. */
export function itemsOf(value: Value): readonly Value[] | undefined {
  if (Array.isArray(value)) return value;
  if (value instanceof TypedList) return value.items;
  return value instanceof Uint8Array ? Array.from(value, BigInt) : undefined;
}

/** Keys and values of an object; undefined if it is none. */
export function entriesOf(value: Value): [Value, Value][] | undefined {
  if (value instanceof MapValue) return [...value.entries];
  return kindOf(value) === 'map' ? Object.entries(value as object) : undefined;
}

export function sizeOf(map: Value): number {
  return map instanceof MapValue ? map.entries.size : Object.keys(map as object).length;
}

/** As people are told. */
export function spell(value: Value): string {
  return kindWords[kindOf(value)];
}

export function fail(message: string): never {
  throw new ExprError('EXPR_RUN', message);
}

export function wantText(value: Value, what: string): string {
  return typeof value === 'string' ? value : fail(`${what} takes a string, not ${spell(value)}`);
}

export function wantBool(value: Value, what: string): boolean {
  return typeof value === 'boolean' ? value : fail(`${what} takes true or false, not ${spell(value)}`);
}

export function wantItems(value: Value, what: string): readonly Value[] {
  return itemsOf(value) ?? fail(`${what} takes a list, not ${spell(value)}`);
}

const [minInt, maxInt] = [-(2n ** 63n), 2n ** 63n];

/** Cut to a whole number, as an index is; what does not fit is the least of all, as on the machines that nodes run on. */
export function toInt(value: Value): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value !== 'number') return fail(`a whole number is needed here, not ${spell(value)}`);
  if (!Number.isFinite(value)) return minInt;
  const cut = BigInt(Math.trunc(value));
  return cut < minInt || cut >= maxInt ? minInt : cut;
}

/** As an index: what is too large for a number of JavaScript's is out of range anyway. */
export function toIndex(value: Value): number {
  return Number(toInt(value));
}

export function toFloat(value: Value): number {
  if (typeof value === 'number') return value;
  return typeof value === 'bigint' ? Number(value) : fail(`a number is needed here, not ${spell(value)}`);
}

export function wrap(value: bigint): bigint {
  return BigInt.asIntN(64, value);
}

/** By their bytes in UTF-8. */
export function compareText(left: string, right: string): number {
  if (left === right) return 0;
  return isAscii(left) && isAscii(right) ? (left < right ? -1 : 1) : Buffer.compare(Buffer.from(left), Buffer.from(right));
}

export function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) if (text.charCodeAt(index) > 127) return false;
  return true;
}
