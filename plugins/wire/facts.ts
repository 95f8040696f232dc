// Values in facts by gjson paths: names, places, `#`, queries, wildcards, several paths, modifiers, literals. On values that
// were parsed before; what gjson tells only from the text of a document, such as its blanks, is lost.

import { modify, readModifier } from './gjson/modifiers.ts';
import {
  type ArrayPart,
  balancedEnd,
  nameOfPath,
  readArrayPart,
  readObjectPart,
  readSelectors,
  type Selector,
  splitPipe,
} from './gjson/path.ts';
import { fits, passes } from './gjson/query.ts';
import { Members, membersOf, parseText, toPlain } from './gjson/values.ts';

/** Elements and members that one look-up passes, and how deep paths may be in paths. Past it, nothing is found. */
const maxSteps = 1_000_000;
const maxDepth = 200;

/** The value at a path; undefined if there is none. */
export function lookup(root: unknown, path: string): unknown {
  try {
    return toPlain(new Lookup().get(root, path, 0));
  } catch (error) {
    if (error instanceof TooMuch) return undefined;
    throw error;
  }
}

class TooMuch extends Error {}

/** What a walk down a path leaves behind: a value, and what takes it over by a pipe. */
interface Walk {
  value: unknown;
  pipe: string | undefined;
  readonly depth: number;
}

class Lookup {
  #steps = maxSteps;

  get(value: unknown, path: string, depth: number): unknown {
    this.#spend(1 + path.length / 16);
    if (depth > maxDepth) throw new TooMuch();
    if (path.length > 1) {
      const special = this.#special(value, path, depth);
      if (special) return special.value;
    }
    const walk: Walk = { value: undefined, pipe: undefined, depth };
    // Two dots take the document for one of lines, of which it is the only one.
    if (path.startsWith('..')) this.#array([value], path.slice(2), walk);
    else this.#into(value, path, walk);
    return walk.pipe === undefined ? walk.value : this.get(walk.value, walk.pipe, depth + 1);
  }

  /** Modifiers, literals and several paths at once; undefined if the path begins with none. */
  #special(value: unknown, path: string, depth: number): { value: unknown } | undefined {
    if (path.startsWith('@')) {
      const modifier = readModifier(path);
      if (!modifier) return undefined;
      const result = modify(value, modifier, (item, inner) => this.get(item, inner, depth + 1));
      return { value: this.#follow(result, modifier.rest, depth) };
    }
    if (path.startsWith('!')) {
      const literal = readLiteral(path.slice(1));
      return literal && { value: this.#follow(literal.value, literal.rest, depth) };
    }
    if (!path.startsWith('[') && !path.startsWith('{')) return undefined;
    const read = readSelectors(path);
    if (!read || !/^($|[.|])/.test(read.rest)) return undefined;
    const found = this.#several(value, path[0] === '{', read.selectors, depth);
    return { value: read.rest === '' ? found : this.get(found, read.rest.slice(1), depth + 1) };
  }

  /** What follows without a dot or pipe is passed over. */
  #follow(value: unknown, rest: string, depth: number): unknown {
    return /^[.|]/.test(rest) ? this.get(value, rest.slice(1), depth + 1) : value;
  }

  #several(value: unknown, named: boolean, selectors: readonly Selector[], depth: number): unknown {
    const found = selectors.flatMap(({ name, path }) => {
      const item = this.get(value, path, depth + 1);
      return item === undefined ? [] : [[name === undefined ? nameOfPath(path) : keyOf(name), item] as const];
    });
    return named ? new Members(found) : found.map(([, item]) => item);
  }

  /** @returns whether the path was followed to its end */
  #into(value: unknown, path: string, walk: Walk): boolean {
    if (Array.isArray(value)) return this.#array(value, path, walk);
    return typeof value === 'object' && value !== null && this.#object(value, path, walk);
  }

  #object(object: object, path: string, walk: Walk): boolean {
    const { key, wild, rest, pipe } = readObjectPart(path);
    this.#spend(1 + path.length / 16);
    if (rest === undefined && pipe !== undefined) walk.pipe = pipe;
    if (!wild && !(object instanceof Members)) {
      if (!Object.hasOwn(object, key)) return false;
      return this.#member((object as Record<string, unknown>)[key], rest, walk);
    }
    for (const [name, value] of membersOf(object) ?? []) {
      this.#spend(1 + (wild ? (name.length * key.length) / 8 : 0));
      // Where the rest of the path is not there, the next key that fits is tried.
      if ((wild ? fits(name, key) : name === key) && this.#member(value, rest, walk)) return true;
    }
    return false;
  }

  #member(value: unknown, rest: string | undefined, walk: Walk): boolean {
    if (rest !== undefined) return this.#into(value, rest, walk);
    walk.value = value;
    return true;
  }

  #array(list: readonly unknown[], path: string, walk: Walk): boolean {
    const part = readArrayPart(path);
    this.#spend(1 + path.length / 16);
    if (part.rest === undefined && part.pipe !== undefined) walk.pipe = part.pipe;
    if (part.query) return this.#select(list, part, walk);
    if (part.each) return this.#each(list, part.rest, walk);
    return part.index >= 0 && part.index < list.length && this.#member(list[part.index], part.rest, walk);
  }

  /** How many there are, or what each of them has at a path. */
  #each(list: readonly unknown[], rest: string | undefined, walk: Walk): boolean {
    if (rest === undefined) {
      walk.value = list.length;
      return true;
    }
    const [path, pipe] = splitPipe(rest);
    if (pipe !== undefined) walk.pipe = pipe;
    walk.value = list.map((item) => this.get(item, path, walk.depth + 1)).filter((item) => item !== undefined);
    return true;
  }

  #select(list: readonly unknown[], { query, all, rest }: ArrayPart, walk: Walk): boolean {
    const found: unknown[] = [];
    for (const item of list) {
      this.#spend(1);
      if (!query || !this.#passes(query, item, walk)) continue;
      const [path, pipe] = rest === undefined ? [undefined, undefined] : splitPipe(rest);
      if (pipe !== undefined) walk.pipe = pipe;
      const value = path === undefined ? item : this.get(item, path, walk.depth + 1);
      if (!all) {
        walk.value = value;
        return true;
      }
      if (value !== undefined) found.push(value);
    }
    // Not the end of a walk: with a wildcard before it, another key may still be found.
    if (all && walk.value === undefined) walk.value = found;
    return false;
  }

  #passes(query: NonNullable<ArrayPart['query']>, item: unknown, walk: Walk): boolean {
    const isContainer = typeof item === 'object' && item !== null;
    if (!isContainer && query.path !== '') return false;
    if (typeof item === 'string') this.#spend((item.length * query.value.length) / 64);
    return passes(query, isContainer ? this.get(item, query.path, walk.depth + 1) : item);
  }

  #spend(steps: number): void {
    this.#steps -= steps;
    if (this.#steps < 0) throw new TooMuch();
  }
}

/** A name in quotes is JSON. */
function keyOf(name: string): string {
  const value = name.startsWith('"') ? parseText(name) : name;
  return typeof value === 'string' ? value : name;
}

/** `!"text"`, `!{…}`, `!true`; undefined if it is no literal. */
function readLiteral(text: string): { value: unknown; rest: string } | undefined {
  if (/^[{["+\-\d]/.test(text)) {
    const end = balancedEnd(text);
    return { value: parseText(text.slice(0, end)), rest: text.slice(end) };
  }
  const word = /^[^.|]*/.exec(text)?.[0] ?? '';
  if (!['true', 'false', 'null', 'nan', 'inf'].includes(word.toLowerCase())) return undefined;
  return { value: parseText(word), rest: text.slice(word.length) };
}
