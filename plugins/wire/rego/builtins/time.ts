// Times, as Go tells them. Nanoseconds do not fit into a number of JavaScript, so answers go as text; what is given to a
// function comes as a number, which may be off by up to 128 of them.

import { type Civil, civilOf, fromCivil, names, parseDuration, utc, zoneOf } from '../../expr/time.ts';
import { formatLayout, parseLayout } from '../../expr/time-layout.ts';
import { Time } from '../../expr/values.ts';
import { type Builtin, exact, integer, type Json, number, text, Undefined } from './values.ts';

const layouts: Readonly<Record<string, string>> = {
  ANSIC: 'Mon Jan _2 15:04:05 2006',
  UnixDate: 'Mon Jan _2 15:04:05 MST 2006',
  RubyDate: 'Mon Jan 02 15:04:05 -0700 2006',
  RFC822: '02 Jan 06 15:04 MST',
  RFC822Z: '02 Jan 06 15:04 -0700',
  RFC850: 'Monday, 02-Jan-06 15:04:05 MST',
  RFC1123: 'Mon, 02 Jan 2006 15:04:05 MST',
  RFC1123Z: 'Mon, 02 Jan 2006 15:04:05 -0700',
  RFC3339: '2006-01-02T15:04:05Z07:00',
  RFC3339Nano: '2006-01-02T15:04:05.999999999Z07:00',
};
const [least, most] = [-(2n ** 63n), 2n ** 63n - 1n];

export function timeBuiltins(now: () => number): Readonly<Record<string, Builtin>> {
  return {
    'time.now_ns': () => exact(BigInt(now()) * 1_000_000n),
    'time.clock': (given) => {
      const { hour, minute, second } = civilOf(moment(given));
      return [hour, minute, second];
    },
    'time.date': (given) => {
      const { year, month, day } = civilOf(moment(given));
      return [year, month, day];
    },
    'time.weekday': (given) => names.days[civilOf(moment(given)).weekday],
    'time.format': (given) => {
      const layout = Array.isArray(given) && given.length > 2 ? text(given[2]) : 'RFC3339Nano';
      return formatLayout(civilOf(moment(given)), layouts[layout] ?? layout);
    },
    'time.parse_rfc3339_ns': (given) => parsed(text(given), layouts.RFC3339 ?? ''),
    'time.parse_ns': (layout, given) => parsed(text(given), layouts[text(layout)] ?? text(layout)),
    'time.parse_duration_ns': (given) => exact(within(defined(() => parseDuration(inHours(text(given))).nanoseconds))),
    'time.add_date': (given, years, months, days) => {
      const start = moment(given);
      const civil = civilOf(start);
      const moved = addDate(civil, integer(years), integer(months), integer(days));
      return exact(within(defined(() => fromCivil(moved, start.zone).nanoseconds)));
    },
    'time.diff': (first, second) => difference(moment(first), moment(second)),
  };
}

/** Nanoseconds, or those and the name of a zone. */
function moment(given: Json | undefined): Time {
  const [nanoseconds, zone] = Array.isArray(given) ? given : [given];
  const value = number(nanoseconds);
  if (!Number.isInteger(value)) throw new Undefined('no whole number');
  // The largest is one more than there is, as a number of JavaScript.
  const bounded = BigInt(value) > most && value <= 2 ** 63 ? most : BigInt(value);
  const name = zone === undefined ? '' : text(zone);
  return new Time(within(bounded), name === '' ? utc : defined(() => zoneOf(name)));
}

function parsed(value: string, layout: string): ArrayBuffer {
  const time = defined(() => parseLayout(value, layout, undefined));
  if (!time) throw new Undefined('no time');
  return exact(within(time.nanoseconds));
}

function within(nanoseconds: bigint): bigint {
  if (nanoseconds < least || nanoseconds > most) throw new Undefined('outside of what there is');
  return nanoseconds;
}

/** Days, weeks and years, which only policies have. */
function inHours(duration: string): string {
  const hours: Readonly<Record<string, number>> = { d: 24, w: 7 * 24, y: 365 * 24 };
  return duration.replaceAll(/(\d+\.?\d*|\.\d+)([dwy])/g, (_all, count: string, unit: string) => {
    const value = Number(count) * (hours[unit] ?? 0);
    if (!Number.isSafeInteger(value * 3_600)) throw new Undefined('no duration');
    return `${value}h`;
  });
}

/** What the language of expressions refuses, Go does as well. */
function defined<T>(make: () => T): T {
  try {
    return make();
  } catch {
    throw new Undefined('no time');
  }
}

function addDate(civil: Civil, years: number, months: number, days: number): Civil {
  const month = civil.month - 1 + months;
  const year = civil.year + years + Math.floor(month / 12);
  // Days beyond a month run on into the next.
  const date = new Date(0);
  date.setUTCFullYear(year, ((month % 12) + 12) % 12, civil.day + days);
  if (Number.isNaN(date.getTime())) throw new Undefined('no date');
  return { ...civil, year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
}

/** Years, months, days, hours, minutes and seconds from one to the other, in the zone of the first. */
function difference(first: Time, second: Time): number[] {
  const other = new Time(second.nanoseconds, first.zone);
  const [from, to] = (first.nanoseconds > other.nanoseconds ? [other, first] : [first, other]).map(civilOf) as [Civil, Civil];
  let [year, month, day] = [to.year - from.year, to.month - from.month, to.day - from.day];
  let [hour, minute, second_] = [to.hour - from.hour, to.minute - from.minute, to.second - from.second];
  if (second_ < 0) [second_, minute] = [second_ + 60, minute - 1];
  if (minute < 0) [minute, hour] = [minute + 60, hour - 1];
  if (hour < 0) [hour, day] = [hour + 24, day - 1];
  if (day < 0) [day, month] = [day + new Date(Date.UTC(from.year, from.month, 0)).getUTCDate(), month - 1];
  if (month < 0) [month, year] = [month + 12, year - 1];
  return [year, month, day, hour, minute, second_];
}
