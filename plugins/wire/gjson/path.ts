// Paths of gjson as text: what their first part says, and what is left. What a part means depends on whether an object or a
// list is looked into, so it is read by the one or the other.

import { isModifier } from './names.ts';

export interface ObjectPart {
  readonly key: string;
  /** The key has `*` or `?`. */
  readonly wild: boolean;
  /** What follows a dot. */
  readonly rest: string | undefined;
  /** What follows a pipe, and takes the result as a whole. */
  readonly pipe: string | undefined;
}

export function readObjectPart(path: string): ObjectPart {
  let key = '';
  let wild = false;
  for (let index = 0; index < path.length; index += 1) {
    const char = path[index] as string;
    if (char === '|') return { key, wild, rest: undefined, pipe: path.slice(index + 1) };
    if (char === '.') return { key, wild, ...afterDot(path.slice(index + 1)) };
    if (char === '\\') {
      index += 1;
      key += path[index] ?? '';
    } else {
      if (char === '*' || char === '?') wild = true;
      key += char;
    }
  }
  return { key, wild, rest: undefined, pipe: undefined };
}

/** A modifier, or several paths in brackets, take what is before the dot as a whole. */
function afterDot(rest: string): { rest: string | undefined; pipe: string | undefined } {
  return takesWhole(rest) ? { rest: undefined, pipe: rest } : { rest, pipe: undefined };
}

function takesWhole(rest: string): boolean {
  if (rest.startsWith('[') || rest.startsWith('{')) return true;
  return rest.startsWith('@') && isModifier(/^@([^.|:]*)/.exec(rest)?.[1] ?? '');
}

export interface Query {
  readonly path: string;
  readonly operator: string;
  readonly value: string;
}

export interface ArrayPart {
  /** The place of the element, or -1 if the part names none. */
  readonly index: number;
  /** `#`: how many there are, or with a rest, that of each. */
  readonly each: boolean;
  /** The part has a `#` and names no element. */
  readonly hash: boolean;
  readonly query: Query | undefined;
  /** All that match, not the first. */
  readonly all: boolean;
  readonly rest: string | undefined;
  readonly pipe: string | undefined;
}

export function readArrayPart(path: string): ArrayPart {
  let hash = false;
  let query: Query | undefined;
  let all = false;
  let end = path.length;
  let follows: { rest: string | undefined; pipe: string | undefined } = { rest: undefined, pipe: undefined };
  for (let index = 0; index < path.length; index += 1) {
    const char = path[index];
    if (char === '|' || char === '.') {
      end = index;
      const after = path.slice(index + 1);
      follows = char === '|' ? { rest: undefined, pipe: after } : hash ? { rest: after, pipe: undefined } : afterDot(after);
      break;
    }
    if (char !== '#') continue;
    hash = true;
    if (index > 0 || !/^#[([]/.test(path)) continue;
    const found = readQuery(path);
    // A query that is never closed is the rest of the path.
    if (!found) break;
    query = found.query;
    index = found.end - 1;
    all = path[found.end] === '#';
  }
  const part = path.slice(0, end);
  const place = !hash && /^\d+$/.test(part) ? Number(part) : -1;
  return { index: place, each: part === '#', hash, query, all, ...follows };
}

/** `#(path operator value)`, and where it ends. */
function readQuery(text: string): { query: Query; end: number } | undefined {
  let depth = 1;
  let split = 0;
  let escaped = false;
  let index = 2;
  for (; index < text.length; index += 1) {
    const char = text[index] as string;
    if (depth === 1 && split === 0 && '!=<>%'.includes(char)) split = index;
    else if (char === '\\') index += 1;
    else if (char === '[' || char === '(') depth += 1;
    else if (char === ']' || char === ')') {
      depth -= 1;
      if (depth === 0) break;
    } else if (char === '"') {
      const end = closingQuote(text, index);
      escaped ||= text.slice(index, end).includes('\\');
      index = end;
    }
  }
  if (depth > 0) return undefined;
  if (split === 0) return { query: { path: trim(text.slice(2, index)), operator: '', value: '' }, end: index + 1 };
  const comparison = trim(text.slice(split, index));
  const operator = /^(?:!=|!%|<=|>=|==|[<>=%])/.exec(comparison)?.[0] ?? (comparison.length === 1 ? comparison : '');
  const value = unquote(trim(comparison.slice(operator.length)), escaped);
  return { query: { path: trim(text.slice(2, split)), operator: operator === '==' ? '=' : operator, value }, end: index + 1 };
}

/** The place of the quote that ends the one at `open`; the end of the text if there is none. */
function closingQuote(text: string, open: number): number {
  for (let index = open + 1; index < text.length; index += 1) {
    if (text[index] === '\\') index += 1;
    else if (text[index] === '"') return index;
  }
  return text.length;
}

function unquote(value: string, escaped: boolean): string {
  if (value.length < 2 || !value.startsWith('"') || !value.endsWith('"')) return value;
  const inner = value.slice(1, -1);
  return escaped ? readEscapes(inner) : inner;
}

const plain: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', '\\': '\\', '/': '/', '"': '"' };

/** Escapes of JSON; what is none of them ends the text. */
export function readEscapes(text: string): string {
  let read = '';
  for (let index = 0; index < text.length; index += 1) {
    const char = text[index] as string;
    if (char < ' ') return read;
    if (char !== '\\') {
      read += char;
      continue;
    }
    index += 1;
    const kind = text[index] ?? '';
    if (kind === 'u') {
      if (index + 5 > text.length) return read;
      read += String.fromCharCode(Number.parseInt(text.slice(index + 1, index + 5), 16) || 0);
      index += 4;
    } else if (Object.hasOwn(plain, kind)) read += plain[kind];
    else return read;
  }
  return read;
}

export function trim(text: string): string {
  // All control characters are blank here.
  let [from, to] = [0, text.length];
  while (from < to && (text[from] as string) <= ' ') from += 1;
  while (to > from && (text[to - 1] as string) <= ' ') to -= 1;
  return text.slice(from, to);
}

/** Parts the path of each element from the pipe that takes all of them together. */
export function splitPipe(path: string): readonly [path: string, pipe: string | undefined] {
  if (path.startsWith('{')) {
    // As the original does it: not behind an empty object, and not behind one whose first name is quoted.
    const end = /^\{["}]/.test(path) ? path.length : balancedEnd(path);
    return path[end] === '|' ? [path.slice(0, end), path.slice(end + 1)] : [path, undefined];
  }
  for (let index = 0; index < path.length; index += 1) {
    const char = path[index];
    if (char === '\\') index += 1;
    else if (char === '|') return [path.slice(0, index), path.slice(index + 1)];
    else if (char === '.' && /^\.#[([]/.test(path.slice(index, index + 3))) {
      index = selectorEnd(path, index + 2);
      if (index === path.length) break;
    } else if (char === '.' && path[index + 1] === '#') {
      index += 2;
      if (index === path.length) break;
    } else if (char === '.' && index === path.length - 1) break;
  }
  return [path, undefined];
}

function selectorEnd(path: string, open: number): number {
  const [start, end] = path[open] === '[' ? ['[', ']'] : ['(', ')'];
  let depth = 0;
  for (let index = open; index < path.length; index += 1) {
    const char = path[index];
    if (char === '\\') index += 1;
    else if (char === start) depth += 1;
    else if (char === end) {
      depth -= 1;
      if (depth === 0) return index;
    } else if (char === '"') index = closingQuote(path, index);
  }
  return path.length;
}

/** Where the bracket at the beginning is closed; the end of the text if it never is. */
export function balancedEnd(text: string): number {
  let depth = 1;
  for (let index = 1; index < text.length; index += 1) {
    const char = text[index] as string;
    if (char === '"') index = closingQuote(text, index);
    else if ('{[('.includes(char)) depth += 1;
    else if ('}])'.includes(char)) {
      depth -= 1;
      if (depth === 0) return index + 1;
    }
  }
  return text.length;
}

export interface Selector {
  /** As written; nothing if there is none. */
  readonly name: string | undefined;
  readonly path: string;
}

/** `[path,path]` and `{name:path,path}`, with what follows; undefined if the bracket is never closed. */
export function readSelectors(text: string): { selectors: readonly Selector[]; rest: string } | undefined {
  const selectors: Selector[] = [];
  let depth = 1;
  let [start, colon, modifier] = [1, 0, 0];
  const push = (end: number) => {
    selectors.push(
      colon === 0
        ? { name: undefined, path: text.slice(start, end) }
        : { name: text.slice(start, colon), path: text.slice(colon + 1, end) },
    );
    [start, colon, modifier] = [end + 1, 0, 0];
  };
  for (let index = 1; index < text.length; index += 1) {
    const char = text[index] as string;
    if (char === '\\') index += 1;
    else if (char === '@' && modifier === 0 && /[.|]/.test(text[index - 1] ?? '')) modifier = index;
    else if (char === ':' && modifier === 0 && colon === 0 && depth === 1) colon = index;
    else if (char === ',' && depth === 1) push(index);
    else if (char === '"') index = closingQuote(text, index);
    else if ('[({'.includes(char)) depth += 1;
    else if ('])}'.includes(char)) {
      depth -= 1;
      if (depth > 0) continue;
      push(index);
      return { selectors, rest: text.slice(index + 1) };
    }
  }
  return undefined;
}

/** What an object calls the result of a path without a name: its last part, or `_` if that is no plain word. */
export function nameOfPath(path: string): string {
  let last = path;
  for (let index = path.length - 1; index >= 0; index -= 1) {
    if ((path[index] === '|' || path[index] === '.') && !(index > 0 && path[index - 1] === '\\')) {
      last = path.slice(index + 1);
      break;
    }
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what makes a word not plain
  return /[\u0000-\u001f[\]{}()#|!]/.test(last) ? '_' : last;
}
