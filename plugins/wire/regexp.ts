// Regular expressions from outside run on RE2: linear time, and the syntax that Choria's patterns are written in.

import { RE2JS } from 're2js';

export interface Pattern {
  /** Whether the pattern is found anywhere in the text. */
  test(text: string): boolean;
  /** Instructions; a test takes up to so many steps for each character. */
  readonly size: number;
}

export type Compile = (source: string, options?: { ignoreCase?: boolean }) => Pattern | undefined;

/** What is longer takes too long to compile. */
const maxSourceLength = 65_536;

/** Compiles a pattern; undefined if it is not valid RE2. */
export function compilePattern(source: string, { ignoreCase = false } = {}): Pattern | undefined {
  if (source.length > maxSourceLength) return undefined;
  try {
    const compiled = RE2JS.compile(source, ignoreCase ? RE2JS.CASE_INSENSITIVE : 0);
    return { test: (text) => compiled.test(text), size: compiled.programSize() };
  } catch {
    return undefined;
  }
}

/** What is wrong with a pattern; undefined if it is valid RE2. */
export function patternProblem(source: string): string | undefined {
  if (source.length > maxSourceLength) return `it has ${source.length} characters, at most ${maxSourceLength} are taken`;
  try {
    RE2JS.compile(source);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Compiles each pattern once: to hold one filter against many nodes, where compiling takes ten times as long as a test. */
export function rememberingCompiler(): Compile {
  const known = new Map<string, Pattern | undefined>();
  return (source, { ignoreCase = false } = {}) => {
    const key = `${ignoreCase} ${source}`;
    if (!known.has(key)) known.set(key, compilePattern(source, { ignoreCase }));
    return known.get(key);
  };
}

/** The inside of `/…/`, or undefined for a plain word. A lone `/` is an empty pattern. */
export function patternSource(text: string): string | undefined {
  if (!text.startsWith('/') || !text.endsWith('/')) return undefined;
  return text.replace(/^\//, '').replace(/\/$/, '');
}
