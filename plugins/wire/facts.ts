// Values in facts by gjson paths: names, indexes, `#`, queries, wildcards and modifiers, on parsed JSON.

import { compilePattern } from './regexp.ts';

/** The value at a path; undefined if there is none. */
export function lookup(root: unknown, path: string): unknown {
  return walk(root, path, 0);
}

const maxDepth = 64;

function walk(value: unknown, path: string, depth: number): unknown {
  if (depth > maxDepth || path === '') return undefined;
  const { head, rest, piped, query } = split(path);
  if (head.startsWith('@') && query === undefined) return proceed(modify(value, head), rest, depth);
  if (Array.isArray(value)) return walkArray(value, { head, rest, piped, query }, depth);
  if (typeof value !== 'object' || value === null) return undefined;
  return proceed(member(value as Record<string, unknown>, head), rest, depth);
}

interface Part {
  readonly head: string;
  readonly rest: string | undefined;
  /** The part was ended by `|`, which takes the result as a whole. */
  readonly piped: boolean;
  /** The inside of `#(…)`, and whether all matches are wanted. */
  readonly query: { readonly text: string; readonly all: boolean } | undefined;
}

function proceed(value: unknown, rest: string | undefined, depth: number): unknown {
  return value === undefined || rest === undefined ? value : walk(value, rest, depth + 1);
}

function walkArray(list: readonly unknown[], { head, rest, piped, query }: Part, depth: number): unknown {
  if (query) {
    const found = list.filter((item) => matchesQuery(item, query.text));
    if (!query.all) return proceed(found[0], rest, depth);
    return rest === undefined || piped ? proceed(found, rest, depth) : each(found, rest, depth);
  }
  if (head === '#') {
    if (rest === undefined) return list.length;
    return piped ? walk(list.length, rest, depth + 1) : each(list, rest, depth);
  }
  return /^\d+$/.test(head) ? proceed(list[Number(head)], rest, depth) : undefined;
}

function each(list: readonly unknown[], rest: string, depth: number): unknown {
  const [inner, after] = splitPipe(rest);
  const results = list.map((item) => walk(item, inner, depth + 1)).filter((item) => item !== undefined);
  return proceed(results, after, depth);
}

function splitPipe(path: string): [string, string | undefined] {
  let nesting = 0;
  for (let index = 0; index < path.length; index += 1) {
    const char = path[index];
    if (char === '\\') index += 1;
    else if (char === '(') nesting += 1;
    else if (char === ')') nesting -= 1;
    else if (char === '|' && nesting === 0) return [path.slice(0, index), path.slice(index + 1)];
  }
  return [path, undefined];
}

function member(object: Readonly<Record<string, unknown>>, head: string): unknown {
  const plain = withoutEscapes(head);
  if (!/(^|[^\\])[*?]/.test(head)) return Object.hasOwn(object, plain) ? object[plain] : undefined;
  // Only the first key that fits, in document order.
  const pattern = wildcard(head);
  const key = Object.keys(object).find((name) => pattern?.test(name));
  return key === undefined ? undefined : object[key];
}

function wildcard(text: string): { test(text: string): boolean } | undefined {
  let source = '';
  for (let index = 0; index < text.length; index += 1) {
    const char = text[index] ?? '';
    if (char === '\\') {
      index += 1;
      source += quote(text[index] ?? '');
    } else source += char === '*' ? '.*' : char === '?' ? '.' : quote(char);
  }
  return compilePattern(`(?s)^${source}$`);
}

function quote(char: string): string {
  return char.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

function withoutEscapes(text: string): string {
  return text.replace(/\\(.)/g, '$1');
}

function split(path: string): Part {
  if (path.startsWith('#(')) {
    const end = closing(path, 1);
    if (end !== -1) {
      const all = path[end + 1] === '#';
      const after = path.slice(end + (all ? 2 : 1));
      return { head: '#', query: { text: path.slice(2, end), all }, ...following(after) };
    }
  }
  let nesting = 0;
  for (let index = 0; index < path.length; index += 1) {
    const char = path[index];
    if (char === '\\') index += 1;
    else if (char === '{' || char === '[' || char === '(') nesting += 1;
    else if (char === '}' || char === ']' || char === ')') nesting -= 1;
    else if ((char === '.' || char === '|') && nesting <= 0)
      return { head: path.slice(0, index), query: undefined, ...following(path.slice(index)) };
  }
  return { head: path, rest: undefined, piped: false, query: undefined };
}

function following(after: string): { rest: string | undefined; piped: boolean } {
  return after === '' ? { rest: undefined, piped: false } : { rest: after.slice(1), piped: after.startsWith('|') };
}

/** The index of the bracket that closes the one at `open`; quotes hide brackets. */
function closing(text: string, open: number): number {
  let nesting = 0;
  let quoted = false;
  for (let index = open; index < text.length; index += 1) {
    const char = text[index];
    if (char === '\\') index += 1;
    else if (char === '"') quoted = !quoted;
    else if (!quoted && char === '(') nesting += 1;
    else if (!quoted && char === ')') {
      nesting -= 1;
      if (nesting === 0) return index;
    }
  }
  return -1;
}

const queryPattern = /^(.*?)\s*(==|!=|<=|>=|!%|=|<|>|%)\s*(.*)$/s;

function matchesQuery(item: unknown, query: string): boolean {
  const parsed = splitQuery(query);
  const actual = parsed.path === '' ? item : lookup(item, parsed.path);
  if (parsed.operator === undefined) return actual !== undefined;
  if (actual === undefined) return false;
  return compare(actual, parsed.operator, parsed.value);
}

function splitQuery(query: string): { path: string; operator: string | undefined; value: unknown } {
  const nested = query.startsWith('#(') ? closing(query, 1) + 1 : 0;
  const found = queryPattern.exec(query.slice(nested));
  if (!found) return { path: query.trim(), operator: undefined, value: undefined };
  const [, left = '', operator = '', right = ''] = found;
  return { path: (query.slice(0, nested) + left).trim(), operator, value: literal(right.trim()) };
}

function literal(text: string): unknown {
  if (text.startsWith('"')) return text.slice(1, text.endsWith('"') ? -1 : undefined).replace(/\\(.)/g, '$1');
  if (text === 'true') return true;
  if (text === 'false') return false;
  if (text === 'null') return null;
  return text !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
}

function compare(actual: unknown, operator: string, wanted: unknown): boolean {
  if (typeof actual === 'string' && typeof wanted === 'string') {
    if (operator === '%') return wildcard(wanted)?.test(actual) ?? false;
    if (operator === '!%') return !(wildcard(wanted)?.test(actual) ?? false);
    return ordered(actual < wanted ? -1 : actual > wanted ? 1 : 0, operator);
  }
  if (typeof actual === 'number' && typeof wanted === 'number') return ordered(actual - wanted, operator);
  if (typeof actual === 'boolean' && typeof wanted === 'boolean') return ordered(Number(actual) - Number(wanted), operator);
  if (actual === null && wanted === null) return operator === '=' || operator === '==';
  return operator === '!=' && typeof actual === typeof wanted;
}

function ordered(order: number, operator: string): boolean {
  switch (operator) {
    case '=':
    case '==':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
    default:
      return false;
  }
}

function modify(value: unknown, modifier: string): unknown {
  const name = modifier.slice(1).split(':')[0];
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  switch (name) {
    case 'this':
    case 'valid':
    case 'ugly':
    case 'pretty':
      return value;
    case 'reverse':
      if (Array.isArray(value)) return [...value].reverse();
      return isObject ? Object.fromEntries(Object.entries(value as object).reverse()) : value;
    case 'keys':
      return isObject ? Object.keys(value as object) : [];
    case 'values':
      return isObject ? Object.values(value as object) : Array.isArray(value) ? value : [];
    case 'flatten':
      return Array.isArray(value) ? value.flat(modifier.includes('"deep":true') ? Number.POSITIVE_INFINITY : 1) : value;
    case 'join':
      return Array.isArray(value) ? Object.assign({}, ...value.filter((item) => typeof item === 'object')) : value;
    case 'tostr':
      return JSON.stringify(value);
    case 'fromstr':
      return typeof value === 'string' ? parse(value) : undefined;
    default:
      return undefined;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
