// Methods of times and durations, such as `date('2024-08-14').Year()`.

import { civilOf, floorDivide, formatDuration, formatTime, fromCivil, monthOf, utc, weekdayOf } from './time.ts';
import { formatLayout } from './time-layout.ts';
import { bool, duration, type FunctionType, float, fn, int, string, type Type, time, zone } from './types.ts';
import { Duration, NamedNumber, NativeFunction, Time, toIndex, type Value, wrap, type Zone } from './values.ts';

interface Method<T> {
  readonly type: FunctionType;
  readonly call: (self: T, ...args: Value[]) => Value;
}

const none: readonly Type[] = [];
const part = (call: (self: Time) => number): Method<Time> => ({ type: fn(none, int), call: (self) => BigInt(call(self)) });
const since1970 = (unit: bigint): Method<Time> => ({
  type: fn(none, int),
  call: ({ nanoseconds }) => floorDivide(nanoseconds, unit),
});
const compared = (call: (order: bigint) => Value, result: Type = bool): Method<Time> => ({
  type: fn([time], result),
  call: (self, other) => call(self.nanoseconds - (other as Time).nanoseconds),
});

const timeMethods: ReadonlyMap<string, Method<Time>> = new Map<string, Method<Time>>([
  ['Year', part((self) => civilOf(self).year)],
  ['Day', part((self) => civilOf(self).day)],
  ['Hour', part((self) => civilOf(self).hour)],
  ['Minute', part((self) => civilOf(self).minute)],
  ['Second', part((self) => civilOf(self).second)],
  ['Nanosecond', part((self) => civilOf(self).nanosecond)],
  ['YearDay', part((self) => civilOf(self).yearDay)],
  ['Month', { type: fn(none, { kind: 'month' }), call: (self) => monthOf(civilOf(self).month) }],
  ['Weekday', { type: fn(none, { kind: 'weekday' }), call: (self) => weekdayOf(civilOf(self).weekday) }],
  ['Unix', since1970(1_000_000_000n)],
  ['UnixMilli', since1970(1_000_000n)],
  ['UnixMicro', since1970(1_000n)],
  ['UnixNano', since1970(1n)],
  ['Before', compared((order) => order < 0n)],
  ['After', compared((order) => order > 0n)],
  ['Equal', compared((order) => order === 0n)],
  ['Compare', compared((order) => (order < 0n ? -1n : order > 0n ? 1n : 0n), int)],
  ['Sub', compared((order) => new Duration(order), duration)],
  ['IsZero', { type: fn(none, bool), call: (self) => civilOf(self).year === 1 && civilOf(self).yearDay === 1 }],
  [
    'Add',
    { type: fn([duration], time), call: (self, by) => new Time(self.nanoseconds + (by as Duration).nanoseconds, self.zone) },
  ],
  ['AddDate', { type: fn([int, int, int], time), call: addDate }],
  [
    'Truncate',
    { type: fn([duration], time), call: (self, by) => new Time(cut(self.nanoseconds, (by as Duration).nanoseconds), self.zone) },
  ],
  ['UTC', { type: fn(none, time), call: ({ nanoseconds }) => new Time(nanoseconds, utc) }],
  ['In', { type: fn([zone], time), call: ({ nanoseconds }, place) => new Time(nanoseconds, place as Zone) }],
  ['Format', { type: fn([string], string), call: (self, layout) => formatLayout(civilOf(self), String(layout)) }],
  ['String', { type: fn(none, string), call: (self) => formatTime(self) }],
]);

const inUnits = (unit: number): Method<Duration> => ({
  type: fn(none, float),
  call: ({ nanoseconds }) => Number(nanoseconds) / unit,
});
const inWhole = (unit: bigint): Method<Duration> => ({ type: fn(none, int), call: ({ nanoseconds }) => nanoseconds / unit });

const durationMethods: ReadonlyMap<string, Method<Duration>> = new Map<string, Method<Duration>>([
  ['Hours', inUnits(3_600e9)],
  ['Minutes', inUnits(60e9)],
  ['Seconds', inUnits(1e9)],
  ['Milliseconds', inWhole(1_000_000n)],
  ['Microseconds', inWhole(1_000n)],
  ['Nanoseconds', inWhole(1n)],
  ['Abs', { type: fn(none, duration), call: ({ nanoseconds }) => new Duration(nanoseconds < 0n ? -nanoseconds : nanoseconds) }],
  [
    'Truncate',
    {
      type: fn([duration], duration),
      call: ({ nanoseconds }, by) => new Duration(cut(nanoseconds, (by as Duration).nanoseconds)),
    },
  ],
  ['String', { type: fn(none, string), call: (self) => formatDuration(self) }],
]);

const named: Method<NamedNumber> = { type: fn(none, string), call: ({ name }) => name };

/** The type of a method; undefined if values of this type have none of this name. */
export function methodType({ kind }: Type, name: string): FunctionType | undefined {
  if (kind === 'time') return timeMethods.get(name)?.type;
  if (kind === 'duration') return durationMethods.get(name)?.type;
  return (kind === 'month' || kind === 'weekday') && name === 'String' ? named.type : undefined;
}

/** The method of a value, bound to it. */
export function methodOf(value: Value, name: string): NativeFunction | undefined {
  if (value instanceof Time) return bind(value, timeMethods.get(name));
  if (value instanceof Duration) return bind(value, durationMethods.get(name));
  return value instanceof NamedNumber && name === 'String' ? bind(value, named) : undefined;
}

function bind<T>(self: T, method: Method<T> | undefined): NativeFunction | undefined {
  return method && new NativeFunction(method.type, (...args) => method.call(self, ...args), { strict: true });
}

function cut(value: bigint, by: bigint): bigint {
  return by <= 0n ? value : value - (((value % by) + by) % by);
}

function addDate(self: Time, years: Value, months: Value, days: Value): Time {
  const civil = civilOf(self);
  const date = new Date(0);
  date.setUTCFullYear(civil.year + toIndex(years), civil.month - 1 + toIndex(months), civil.day + toIndex(days));
  if (Number.isNaN(date.getTime())) return self;
  const moved = { ...civil, year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
  const { nanoseconds } = fromCivil(moved, self.zone);
  return new Time(wrap(nanoseconds) === nanoseconds ? nanoseconds : self.nanoseconds, self.zone);
}
