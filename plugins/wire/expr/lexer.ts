// Expressions as tokens, by the rules of expr-lang 1.17.

import { ExprError } from './errors.ts';

export type TokenKind = 'identifier' | 'number' | 'string' | 'bytes' | 'operator' | 'bracket' | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** The text; of strings and bytes the value, of bytes one character a byte. */
  readonly value: string;
  readonly at: number;
}

const words: ReadonlySet<string> = new Set('not in or and matches contains startsWith endsWith let if else'.split(' '));
const space = /[\t-\r \u0085\p{Z}]/u;
const letter = /[\p{L}\p{Nd}_$]/u;
const wordRun = /[\p{L}\p{Nd}_$]+/uy;
const number = /0[xX][\da-fA-F_]*|0[oO][0-7_]*|0[bB][01_]*|[\d_]*(?:\.(?!\.)[\d_]*)?(?:[eE][+-]?[\d_]*)?/y;
const operator = /\|\|?|::?|\?[.?]?|\.\.?|##?|[&!=*<>][&=*]?|[,;%+^/-]/y;

/** @throws ExprError `EXPR_SYNTAX` with the place */
export function tokenize(source: string): Token[] {
  const lexer = new Lexer(source);
  return lexer.run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    while (this.#at < this.#source.length) this.#next();
    this.#tokens.push({ kind: 'end', value: '', at: this.#source.length });
    return this.#tokens;
  }

  #next(): void {
    const start = this.#at;
    const char = String.fromCodePoint(this.#source.codePointAt(start) ?? 0);
    const next = this.#source[start + 1] ?? '';
    if (space.test(char)) this.#at += char.length;
    else if (char === '/' && (next === '/' || next === '*')) this.#comment(next);
    else if (char === "'" || char === '"')
      this.#push(
        'string',
        start,
        readEscapes(this.#quoted(char), (at) => this.#fail('this escape is not valid', at)),
      );
    else if (char === '`') this.#push('string', start, this.#raw());
    else if (/[bB]/.test(char) && (next === "'" || next === '"')) {
      this.#at += 1;
      this.#push(
        'bytes',
        start,
        readBytes(this.#quoted(next), (at) => this.#fail('this escape is not valid', at)),
      );
    } else if (/\d/.test(char) || (char === '.' && /\d/.test(next))) this.#number();
    else if ('([{)]}'.includes(char)) {
      this.#at += 1;
      this.#push('bracket', start, char);
    } else if (letter.test(char)) {
      const word = this.#match(wordRun);
      this.#push(words.has(word) ? 'operator' : 'identifier', start, word);
    } else this.#operator(char);
  }

  #operator(char: string): void {
    const start = this.#at;
    const text = this.#match(operator);
    if (text === '') this.#fail(`'${char}' means nothing here`, start);
    this.#push('operator', start, text);
    // The name of a pointer follows without a space, and may begin with a digit.
    if (!text.startsWith('#')) return;
    const name = this.#match(wordRun);
    if (name !== '') this.#push('identifier', start + text.length, name);
  }

  #number(): void {
    const start = this.#at;
    const text = this.#match(number);
    const next = String.fromCodePoint(this.#source.codePointAt(this.#at) ?? 0);
    if (letter.test(next)) this.#fail(`'${text.slice(0, 40)}${next}' is no number`, start);
    this.#push('number', start, text);
  }

  #comment(second: string): void {
    const end = second === '/' ? this.#source.indexOf('\n', this.#at) : this.#source.indexOf('*/', this.#at + 2);
    if (second === '*' && end === -1) this.#fail('this comment is never closed', this.#at);
    this.#at = end === -1 ? this.#source.length : end + (second === '/' ? 1 : 2);
  }

  /** The inside of a quoted text, escapes as written, with the place that it begins at. */
  #quoted(quote: string): { readonly text: string; readonly at: number; readonly quote: string } {
    const start = this.#at;
    let at = start + 1;
    while (this.#source[at] !== quote) {
      const char = this.#source[at];
      if (char === undefined || char === '\n') this.#fail('this string is never closed', start);
      at += char === '\\' ? 2 : 1;
    }
    this.#at = at + 1;
    return { text: this.#source.slice(start + 1, at), at: start + 1, quote };
  }

  /** Between backticks nothing is escaped but the backtick, by writing it twice. */
  #raw(): string {
    const start = this.#at;
    let at = start + 1;
    for (;;) {
      const end = this.#source.indexOf('`', at);
      if (end === -1) this.#fail('this string is never closed', start);
      at = end + 1;
      if (this.#source[at] !== '`') break;
      at += 1;
    }
    this.#at = at;
    return this.#source.slice(start + 1, at - 1).replaceAll('``', '`');
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const text = pattern.exec(this.#source)?.[0] ?? '';
    this.#at += text.length;
    return text;
  }

  #push(kind: TokenKind, at: number, value: string): void {
    this.#tokens.push({ kind, value, at });
  }

  #fail(message: string, at: number): never {
    throw new ExprError('EXPR_SYNTAX', message, { source: this.#source, at });
  }
}

interface Quoted {
  readonly text: string;
  readonly at: number;
  readonly quote: string;
}

const plain: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
};
const escapes = /\\(?:u\{([\da-fA-F]{1,6})\}|u([\da-fA-F]{4})|U([\da-fA-F]{8})|x([\da-fA-F]{2})|([0-3][0-7]{2})|([\s\S]?))/g;

function readEscapes({ text, at, quote }: Quoted, fail: (at: number) => never): string {
  return text.replace(/\r\n?/g, '\n').replace(escapes, (_all, braced, short, long, byte, octal, char, offset: number) => {
    const hex = braced ?? short ?? long ?? byte;
    if (hex === undefined && octal === undefined) return char === quote ? quote : (plain[char] ?? fail(at + offset));
    const code = hex === undefined ? Number.parseInt(octal, 8) : Number.parseInt(hex, 16);
    if (code > 0x10ffff) fail(at + offset);
    // Half a surrogate pair is no character.
    return code >= 0xd800 && code < 0xe000 ? '\ufffd' : String.fromCodePoint(code);
  });
}

/** Characters are bytes already: those of the text in UTF-8, and those of `\xff` and `\377` as they are. */
function readBytes({ text, at, quote }: Quoted, fail: (at: number) => never): string {
  const encoded = Buffer.from(text.replace(/\r\n?/g, '\n')).toString('latin1');
  return encoded.replace(escapes, (_all, braced, short, long, byte, octal, char, offset: number) => {
    if (byte !== undefined) return String.fromCharCode(Number.parseInt(byte, 16));
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
    if (braced !== undefined || short !== undefined || long !== undefined) fail(at + offset);
    return char === quote ? quote : (plain[char] ?? fail(at + offset));
  });
}
