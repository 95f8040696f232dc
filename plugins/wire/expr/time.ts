// Times, durations and zones as Go tells them: parsed, printed, and their parts.

import { formatLayout } from './time-layout.ts';
import { Duration, fail, NamedNumber, Time, Zone } from './values.ts';

export const utc = new Zone('UTC', 0);
const perSecond = 1_000_000_000n;
const monthNames = 'January February March April May June July August September October November December'.split(' ');
const dayNames = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');
const units: readonly (readonly [string, bigint])[] = [
  ['ns', 1n],
  ['us', 1_000n],
  ['µs', 1_000n],
  ['μs', 1_000n],
  ['ms', 1_000_000n],
  ['s', perSecond],
  ['m', 60n * perSecond],
  ['h', 3_600n * perSecond],
];

export function timeOf(ms: number): Time {
  return new Time(BigInt(Math.trunc(ms * 1_000)) * 1_000n, utc);
}

/** A zone of the IANA data base. */
export function zoneOf(name: string): Zone {
  if (name === '' || name === 'UTC') return utc;
  if (name === 'Local') return new Zone(Intl.DateTimeFormat().resolvedOptions().timeZone);
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
  } catch {
    return fail(`there is no time zone '${name}'`);
  }
  // What is only an offset to JavaScript is none to Go.
  return /^[+-]/.test(name) ? fail(`there is no time zone '${name}'`) : new Zone(name);
}

/** Seconds that a zone is ahead of UTC at a moment. */
export function offsetOf({ name, offset }: Zone, seconds: number): number {
  if (offset !== undefined) return offset;
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: name,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  const parts = Object.fromEntries(format.formatToParts(seconds * 1000).map(({ type, value }) => [type, Number(value)]));
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Math.round(Date.UTC(year, month - 1, day, hour, minute, second) / 1000 - seconds);
}

export interface Civil {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly nanosecond: number;
  readonly weekday: number;
  readonly yearDay: number;
  readonly offset: number;
  readonly abbreviation: string;
}

/** A moment as a clock on the wall in its zone shows it. */
export function civilOf({ nanoseconds, zone }: Time): Civil {
  const seconds = Number(floorDivide(nanoseconds, perSecond));
  const offset = offsetOf(zone, seconds);
  const date = new Date((seconds + offset) * 1000);
  const year = date.getUTCFullYear();
  return {
    year,
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
    second: date.getUTCSeconds(),
    nanosecond: Number(nanoseconds - BigInt(seconds) * perSecond),
    weekday: date.getUTCDay(),
    yearDay: Math.floor((date.getTime() - utcMs(year, 1, 1)) / 86_400_000) + 1,
    offset,
    abbreviation: abbreviationOf(zone, seconds),
  };
}

function abbreviationOf({ name, offset }: Zone, seconds: number): string {
  if (offset !== undefined) return name;
  const parts = new Intl.DateTimeFormat('en-GB', { timeZone: name, timeZoneName: 'short' }).formatToParts(seconds * 1000);
  return parts.find(({ type }) => type === 'timeZoneName')?.value ?? name;
}

/** The moment at which a clock in the zone shows this. */
export function fromCivil(
  civil: { year: number; month: number; day: number; hour: number; minute: number; second: number; nanosecond: number },
  zone: Zone,
): Time {
  const { year, month, day, hour, minute, second, nanosecond } = civil;
  const local = utcMs(year, month, day) / 1000 + hour * 3600 + minute * 60 + second;
  // Told at the hour that it would be in UTC, the offset is right but near a change of it.
  const offset = offsetOf(zone, local - offsetOf(zone, local));
  return new Time(BigInt(local - offset) * perSecond + BigInt(nanosecond), zone);
}

/** Date.UTC takes years below 100 for those of the last century. */
function utcMs(year: number, month: number, day: number): number {
  return new Date(0).setUTCFullYear(year, month - 1, day);
}

export function daysIn(year: number, month: number): number {
  return new Date(utcMs(year, month + 1, 0)).getUTCDate();
}

export function monthOf(number: number): NamedNumber {
  return new NamedNumber('month', BigInt(number), monthNames[number - 1] ?? '');
}

export function weekdayOf(number: number): NamedNumber {
  return new NamedNumber('weekday', BigInt(number), dayNames[number] ?? '');
}

export const names = { months: monthNames, days: dayNames };

const printed = '2006-01-02 15:04:05.999999999 -0700 MST';
const rfc3339 = '2006-01-02T15:04:05.999999999Z07:00';

export function formatTime(time: Time, form: 'printed' | 'rfc3339' = 'printed'): string {
  return formatLayout(civilOf(time), form === 'printed' ? printed : rfc3339);
}

/** `1h30m`, `-1.5h`, `300ms`. */
export function parseDuration(text: string): Duration {
  const [, sign = '', rest = ''] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (rest === '0') return new Duration(0n);
  const part = /(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/gy;
  let total = 0n;
  let end = 0;
  for (let found = part.exec(rest); found; found = part.exec(rest)) {
    const [all, whole = '', fraction = '', unit = ''] = found;
    if (whole + fraction === '') break;
    const size = units.find(([name]) => name === unit)?.[1] ?? 1n;
    const digits = fraction.slice(0, 18);
    total += BigInt(whole || 0) * size + (digits === '' ? 0n : (BigInt(digits) * size) / 10n ** BigInt(digits.length));
    end += all.length;
  }
  const limit = sign === '-' ? 2n ** 63n : 2n ** 63n - 1n;
  if (rest === '' || end !== rest.length || total > limit) return fail(`'${text}' is no duration; write it like 1h30m`);
  return new Duration(sign === '-' ? -total : total);
}

/** `1h30m0s`, `1.5s`, `300ms`. */
export function formatDuration({ nanoseconds }: Duration): string {
  if (nanoseconds === 0n) return '0s';
  const sign = nanoseconds < 0n ? '-' : '';
  const size = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  if (size < 1_000n) return `${sign}${size}ns`;
  if (size < 1_000_000n) return `${sign}${decimal(size, 3)}µs`;
  if (size < perSecond) return `${sign}${decimal(size, 6)}ms`;
  const minutes = size / (60n * perSecond);
  const seconds = `${decimal(size % (60n * perSecond), 9)}s`;
  if (minutes === 0n) return sign + seconds;
  return minutes < 60n ? `${sign}${minutes}m${seconds}` : `${sign}${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

function decimal(value: bigint, places: number): string {
  const digits = value.toString().padStart(places + 1, '0');
  const fraction = digits.slice(-places).replace(/0+$/, '');
  return digits.slice(0, -places) + (fraction === '' ? '' : `.${fraction}`);
}

export function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}
