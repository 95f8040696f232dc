// The messages that source text can say: found by what stands before them, with `…` for each part that varies.

import { readFileSync } from 'node:fs';

export interface SourceMessage {
  readonly file: string;
  readonly message: string;
}

/** Where messages are: after `before`, as the given argument. */
export interface Place {
  readonly before: string;
  readonly argument: number | 'message of a log';
  /** Which files have it; all of them if absent. */
  readonly files?: RegExp;
}

const gap = '…';
const closing: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/** Messages of one file. What is made of gaps alone passes on the words of others, and is none. */
export function messagesOf(root: string, file: string, places: readonly Place[]): SourceMessage[] {
  const source = readFileSync(`${root}/${file}`, 'utf8');
  return places
    .filter(({ files }) => files?.test(file) ?? true)
    .flatMap(({ before, argument }) =>
      positions(source, before).flatMap((at) => {
        const given = readArguments(source, at);
        const isFields = source[at] === '{';
        return given[argument === 'message of a log' ? Number(isFields) : argument] ?? [];
      }),
    )
    .map(tidy)
    .filter((message) => /[a-z]/i.test(message))
    .map((message) => ({ file, message }));
}

/** `kind/name` is one name; what is added to a message begins after its semicolon; what may follow a sentence needs no gap. */
function tidy(message: string): string {
  return message
    .replaceAll('…/…', gap)
    .replace(/^; /, '')
    .replace(/(?<=[a-z])…$/, '');
}

/** The arguments of each call of a function, the alternatives of each. */
export function callsOf(root: string, file: string, before: string): string[][][] {
  const source = readFileSync(`${root}/${file}`, 'utf8');
  return positions(source, before).map((at) => readArguments(source, at));
}

/** The first group of each match in a file. */
export function wordsOf(root: string, file: string, pattern: RegExp): string[] {
  return [...readFileSync(`${root}/${file}`, 'utf8').matchAll(pattern)].map(([, word = '']) => word);
}

/** Right after each occurrence that is no part of a longer word. */
function positions(source: string, before: string): number[] {
  const found: number[] = [];
  for (let at = source.indexOf(before); at >= 0; at = source.indexOf(before, at + 1))
    if (!/\w/.test(source[at - 1] ?? '')) found.push(skipSpace(source, at + before.length));
  return found;
}

function readArguments(source: string, from: number): string[][] {
  const given: string[][] = [];
  for (let at = from; ; ) {
    const { texts, end } = readExpression(source, at);
    given.push(texts);
    if (source[end] !== ',') return given;
    at = end + 1;
  }
}

/**
 * The texts that an expression can be: literals as they are, joined where they are added, both sides of `… ? … : …`, and a
 * gap for everything else. `end` is where the comma, semicolon or bracket stands that ends it.
 */
function readExpression(source: string, from: number): { texts: string[]; end: number } {
  const texts: string[] = [];
  let text = '';
  let at = skipSpace(source, from);
  for (; at < source.length && !',;)]}'.includes(source[at] ?? ''); at = skipSpace(source, at)) {
    const [character = '', next = ''] = source.slice(at, at + 2);
    if (character === '?' && next !== '.' && next !== '?') {
      // The condition is said by nobody.
      text = '';
      at += 1;
    } else if (character === ':' || ['??', '||'].includes(character + next)) {
      texts.push(text);
      text = '';
      at += character === ':' ? 1 : 2;
    } else if (character === '+') at += 1;
    else if (`'"\``.includes(character)) {
      const literal = readLiteral(source, at);
      text += literal.text;
      at = literal.end;
    } else {
      text += gap;
      at = character in closing ? skipBrackets(source, at) : at + (character === '?' ? 2 : 1);
    }
  }
  return { texts: [...texts, text].map((one) => one.replace(/…{2,}/g, gap)), end: at };
}

function readLiteral(source: string, from: number): { text: string; end: number } {
  const quote = source[from];
  let text = '';
  let at = from + 1;
  while (at < source.length && source[at] !== quote) {
    if (quote === '`' && source.startsWith('${', at)) {
      text += gap;
      at = skipBrackets(source, at + 1);
      continue;
    }
    if (source[at] === '\\') at += 1;
    text += source[at];
    at += 1;
  }
  return { text, end: at + 1 };
}

/** Right after the bracket that closes the one at `from`. */
function skipBrackets(source: string, from: number): number {
  const wanted = closing[source[from] ?? ''];
  let at = from + 1;
  while (at < source.length && source[at] !== wanted) {
    const character = source[at] ?? '';
    if (`'"\``.includes(character)) at = readLiteral(source, at).end;
    else if (character in closing) at = skipBrackets(source, at);
    else at += 1;
  }
  return at + 1;
}

/** Over white space and comments. */
function skipSpace(source: string, from: number): number {
  const [space = ''] = /^(?:\s|\/\/.*|\/\*[\s\S]*?\*\/)*/.exec(source.slice(from)) ?? [];
  return from + space.length;
}
