// Functions of strings that modules call.

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

function count(whole: string, part: string): number {
  if (part === '') return [...whole].length + 1;
  let found = 0;
  for (let at = whole.indexOf(part); at >= 0; at = whole.indexOf(part, at + part.length)) found += 1;
  return found;
}
