// Go's layouts of times, in which an example of the date stands for its parts: 2006-01-02 15:04:05.

import { type Civil, daysIn, fromCivil, names, utc } from './time.ts';
import { fail, type Time, Zone } from './values.ts';

const token =
  /January|Jan|Monday|Mon|MST|2006|_2006|_2|002|0[1-6]|15|PM|pm|Z070000|Z07:00:00|Z0700|Z07:00|Z07|-070000|-07:00:00|-0700|-07:00|-07|[.,](?:0+|9+)(?!\d)|[12345]/g;

function split(layout: string): readonly { readonly text: string; readonly isToken: boolean }[] {
  const parts: { text: string; isToken: boolean }[] = [];
  let end = 0;
  for (const found of layout.matchAll(token)) {
    // A name that goes on is none of a day or month.
    if (/^(Jan|Mon)$/.test(found[0]) && /^[a-z]/.test(layout.slice(found.index + 3))) continue;
    if (found.index > end) parts.push({ text: layout.slice(end, found.index), isToken: false });
    const isUnderlinedYear = found[0] === '_2006';
    if (isUnderlinedYear) parts.push({ text: '_', isToken: false });
    parts.push({ text: isUnderlinedYear ? '2006' : found[0], isToken: true });
    end = found.index + found[0].length;
  }
  if (end < layout.length) parts.push({ text: layout.slice(end), isToken: false });
  return parts;
}

export function formatLayout(civil: Civil, layout: string): string {
  return split(layout)
    .map(({ text, isToken }) => (isToken ? formatPart(civil, text) : text))
    .join('');
}

const two = (value: number) => String(value).padStart(2, '0');

function formatPart(civil: Civil, part: string): string {
  const { year, month, day, hour, minute, second, nanosecond, weekday, yearDay, offset, abbreviation } = civil;
  if (/^[Z-]07/.test(part)) return formatOffset(offset, part);
  if (/^[.,]/.test(part)) return formatFraction(nanosecond, part);
  const parts: Readonly<Record<string, string>> = {
    January: names.months[month - 1] ?? '',
    Jan: names.months[month - 1]?.slice(0, 3) ?? '',
    Monday: names.days[weekday] ?? '',
    Mon: names.days[weekday]?.slice(0, 3) ?? '',
    MST: abbreviation === '' ? formatOffset(offset, offset % 3600 === 0 ? '-07' : '-0700') : abbreviation,
    '2006': (year < 0 ? '-' : '') + String(Math.abs(year)).padStart(4, '0'),
    '06': two(Math.abs(year) % 100),
    '1': String(month),
    '01': two(month),
    '2': String(day),
    '02': two(day),
    _2: String(day).padStart(2),
    '002': String(yearDay).padStart(3, '0'),
    '15': two(hour),
    '3': String(hour % 12 || 12),
    '03': two(hour % 12 || 12),
    '4': String(minute),
    '04': two(minute),
    '5': String(second),
    '05': two(second),
    PM: hour >= 12 ? 'PM' : 'AM',
    pm: hour >= 12 ? 'pm' : 'am',
  };
  return parts[part] ?? part;
}

function formatOffset(offset: number, part: string): string {
  if (part.startsWith('Z') && offset === 0) return 'Z';
  const colon = part.includes(':') ? ':' : '';
  const size = Math.abs(offset);
  const parts = [Math.floor(size / 3600), Math.floor(size / 60) % 60, size % 60].map(two);
  const count = part.replace(/[^\d]/g, '').length / 2;
  return (offset < 0 ? '-' : '+') + parts.slice(0, count).join(colon);
}

function formatFraction(nanosecond: number, part: string): string {
  const digits = String(nanosecond)
    .padStart(9, '0')
    .slice(0, part.length - 1);
  if (part[1] === '0') return part[0] + digits;
  const short = digits.replace(/0+$/, '');
  return short === '' ? '' : part[0] + short;
}

interface Read {
  year: number;
  month: number;
  day: number;
  yearDay: number;
  hour: number;
  minute: number;
  second: number;
  nanosecond: number;
  pm: boolean | undefined;
  offset: number | undefined;
  zoneName: string;
}

const patterns: Readonly<Record<string, RegExp>> = {
  '2006': /^\d{4}/,
  '06': /^\d{2}/,
  '01': /^\d{2}/,
  '02': /^\d{2}/,
  '002': /^\d{3}/,
  '03': /^\d{2}/,
  '04': /^\d{2}/,
  '05': /^\d{2}/,
  _2: /^ ?\d{1,2}/,
  PM: /^[AP]M/,
  pm: /^[ap]m/,
  MST: /^(?:UTC|ChST|MeST|GMT(?:[+-]\d{1,2})?|WITA|[+-]\d{2}(?:\d{2})?|[A-Z]{3,4}ST|[A-Z]{3}T?|[A-Z]{3})(?![A-Z])/,
};

/** @returns undefined if the text is not written by the layout */
export function parseLayout(text: string, layout: string, zone: Zone | undefined): Time | undefined {
  const read: Read = {
    year: 0,
    month: -1,
    day: -1,
    yearDay: -1,
    hour: 0,
    minute: 0,
    second: 0,
    nanosecond: 0,
    pm: undefined,
    offset: undefined,
    zoneName: '',
  };
  let rest: string | undefined = text;
  const parts = split(layout);
  for (const [index, { text: part, isToken }] of parts.entries()) {
    rest = isToken ? readPart(read, part, rest) : skip(rest, part);
    if (rest === undefined) return undefined;
    // A fraction of a second is taken even where the layout has none.
    if (isToken && /^0?5$/.test(part) && !/^[.,]/.test(parts[index + 1]?.text ?? '')) rest = readFraction(read, rest);
  }
  return rest === '' ? finish(read, zone) : undefined;
}

/** A space stands for any number of them. */
function skip(text: string, literal: string): string | undefined {
  let rest = text;
  for (const part of literal.split(/( +)/)) {
    if (part === '') continue;
    if (part.startsWith(' ')) {
      if (rest !== '' && !rest.startsWith(' ')) return undefined;
      rest = rest.replace(/^ +/, '');
    } else if (rest.startsWith(part)) rest = rest.slice(part.length);
    else return undefined;
  }
  return rest;
}

function readPart(read: Read, part: string, text: string): string | undefined {
  if (/^[.,]/.test(part)) return part[1] === '9' ? readFraction(read, text) : readExactFraction(read, part, text);
  if (/^[Z-]07/.test(part)) return readOffset(read, part, text);
  if (/^(Jan|Mon)/.test(part)) return readName(read, part, text);
  const found = (patterns[part] ?? /^\d{1,2}/).exec(text)?.[0];
  if (found === undefined) return undefined;
  store(read, part, found);
  return text.slice(found.length);
}

function store(read: Read, part: string, found: string): void {
  const value = Number(found);
  if (part === '2006') read.year = value;
  else if (part === '06') read.year = value + (value >= 69 ? 1900 : 2000);
  else if (part === '1' || part === '01') read.month = value;
  else if (part === '2' || part === '02' || part === '_2') read.day = value;
  else if (part === '002') read.yearDay = value;
  else if (part === '15' || part === '3' || part === '03') read.hour = value;
  else if (part === '4' || part === '04') read.minute = value;
  else if (part === '5' || part === '05') read.second = value;
  else if (part === 'PM' || part === 'pm') read.pm = /^p/i.test(found);
  else if (part === 'MST') read.zoneName = found;
}

function readName(read: Read, part: string, text: string): string | undefined {
  const all = part.startsWith('Jan') ? names.months : names.days;
  const forms = part.length === 3 ? all.map((name) => name.slice(0, 3)) : all;
  const index = forms.findIndex((name) => text.toLowerCase().startsWith(name.toLowerCase()));
  if (index === -1) return undefined;
  if (part.startsWith('Jan')) read.month = index + 1;
  return text.slice(forms[index]?.length ?? 0);
}

function readFraction(read: Read, text: string): string {
  const [all = '', digits = ''] = /^[.,](\d+)/.exec(text) ?? [];
  if (all !== '') read.nanosecond = Number(digits.slice(0, 9).padEnd(9, '0'));
  return text.slice(all.length);
}

function readExactFraction(read: Read, part: string, text: string): string | undefined {
  const digits = text.slice(1, part.length);
  if (!/^[.,]/.test(text) || digits.length !== part.length - 1 || !/^\d+$/.test(digits)) return undefined;
  read.nanosecond = Number(digits.slice(0, 9).padEnd(9, '0'));
  return text.slice(part.length);
}

function readOffset(read: Read, part: string, text: string): string | undefined {
  if (part.startsWith('Z') && text.startsWith('Z')) {
    read.offset = 0;
    return text.slice(1);
  }
  const colon = part.includes(':') ? ':' : '';
  const count = part.replace(/[^\d]/g, '').length / 2;
  const pattern = new RegExp(`^([+-])(\\d{2})${`${colon}(\\d{2})`.repeat(count - 1)}`);
  const found = pattern.exec(text);
  if (!found) return undefined;
  const [all, sign, hours = '0', minutes = '0', seconds = '0'] = found;
  if (Number(hours) > 24 || Number(minutes) > 60 || Number(seconds) > 60) return undefined;
  read.offset = (sign === '-' ? -1 : 1) * (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds));
  return text.slice(all.length);
}

function finish(read: Read, zone: Zone | undefined): Time | undefined {
  const { yearDay, minute, second, pm, offset, zoneName } = read;
  let { year, month, day, hour } = read;
  if (hour > 23 || minute > 59 || second > 59 || (pm !== undefined && (hour > 12 || hour < 0))) return undefined;
  if (pm === true && hour < 12) hour += 12;
  else if (pm === false && hour === 12) hour = 0;
  if (yearDay > 0) {
    const date = new Date(new Date(0).setUTCFullYear(year, 0, yearDay));
    if (date.getUTCFullYear() !== year) return undefined;
    [month, day] = [date.getUTCMonth() + 1, date.getUTCDate()];
  } else if (yearDay === 0) return undefined;
  month = month === -1 ? 1 : month;
  day = day === -1 ? 1 : day;
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
  const civil = { ...read, year, month, day, hour };
  if (offset !== undefined) return fromCivil(civil, offset === 0 ? utc : new Zone('', offset));
  if (zoneName !== '' && zoneName !== 'UTC') {
    const ahead = /^GMT([+-]\d+)$/.exec(zoneName)?.[1];
    return fromCivil(civil, new Zone(zoneName, Number(ahead ?? 0) * 3600));
  }
  return fromCivil(civil, zoneName === 'UTC' ? utc : (zone ?? utc));
}

const tried = [
  '2006-01-02',
  '15:04:05',
  '2006-01-02 15:04:05',
  '2006-01-02T15:04:05Z07:00',
  '02 Jan 06 15:04 MST',
  'Monday, 02-Jan-06 15:04:05 MST',
  'Mon, 02 Jan 2006 15:04:05 MST',
];

/** By a layout, or by those that are common. */
export function parseTime(text: string, layout: string | undefined, zone: Zone | undefined): Time {
  for (const form of layout === undefined ? tried : [layout]) {
    const time = parseLayout(text, form, zone);
    if (time) return time;
  }
  return fail(`'${text}' is no date${layout === undefined ? '' : ` of the form '${layout}'`}`);
}
