// Functions of strings that modules call.

import { isIP } from 'node:net';
import { type Builtin, integer, text, texts, Undefined } from './values.ts';

const maxRange = 100_000;

export const stringBuiltins: Readonly<Record<string, Builtin>> = {
  'strings.any_prefix_match': (search, base) => {
    const prefixes = texts(base);
    return texts(search).some((word) => prefixes.some((prefix) => word.startsWith(prefix)));
  },
  'strings.any_suffix_match': (search, base) => {
    const suffixes = texts(base);
    return texts(search).some((word) => suffixes.some((suffix) => word.endsWith(suffix)));
  },
  'strings.split_n': (whole, delimiter, limit) => {
    const most = integer(limit);
    const separator = text(delimiter);
    const parts = separator === '' ? [...text(whole)] : text(whole).split(separator);
    return most === 0 ? [] : most > 0 ? parts.slice(0, most) : parts.slice(most);
  },
  'glob.quote_meta': (pattern) => text(pattern).replaceAll(/[*?\\[\]{}]/g, '\\$&'),
  'net.cidr_is_valid': (given) => typeof given === 'string' && isNetwork(given),
  'strings.count': (search, part) => count(text(search), text(part)),
  indexof_n: (search, part) => {
    const wanted = text(part);
    if (wanted === '') throw new Undefined('empty');
    const characters = [...text(search)];
    const sought = [...wanted];
    return characters.flatMap((_, at) => (sought.every((character, by) => characters[at + by] === character) ? [at] : []));
  },
  'numbers.range_step': (from, to, by) => {
    const [first, last, step] = [integer(from), integer(to), integer(by)];
    if (step <= 0) throw new Undefined('no step');
    const length = Math.floor(Math.abs(last - first) / step) + 1;
    if (length > maxRange) throw new RangeError(`a range of ${length} numbers`);
    return Array.from({ length }, (_, index) => (last >= first ? first + index * step : first - index * step));
  },
};

function isNetwork(given: string): boolean {
  const [address = '', bits = '', ...more] = given.split('/');
  const version = isIP(address);
  if (version === 0 || more.length > 0 || address.includes('%') || !/^\d{1,3}$/.test(bits)) return false;
  return Number(bits) <= (version === 4 ? 32 : 128);
}

function count(whole: string, part: string): number {
  if (part === '') return [...whole].length + 1;
  let found = 0;
  for (let at = whole.indexOf(part); at >= 0; at = whole.indexOf(part, at + part.length)) found += 1;
  return found;
}
