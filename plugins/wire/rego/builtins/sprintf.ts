// Go's formatted text, for what policies give it. What is not clear ends the evaluation.

import { floatText } from '../../expr/format.ts';
import { type Builtin, compare, isObject, type Json, list, maybeSet, text, Unclear } from './values.ts';

interface Verb {
  readonly flags: string;
  readonly width: number | undefined;
  readonly precision: number | undefined;
  readonly verb: string;
}

/** Go calls what is longer a bad width. */
const maxWidth = 1_000_000;
const maxLength = 262_144;
const form = /%([-+# 0]*)(\d+)?(?:\.(\d*))?([a-zA-Z%]?)/gu;

export const sprintf: Builtin = (format, given) => {
  const source = text(format);
  const values = list(given);
  if (/%[-+# 0]*(?:\d*\.?)(?:\*|\[)/.test(source)) throw new Unclear('sprintf takes neither * nor [n] in its verbs here');
  let next = 0;
  const result = source.replace(form, (_all, flags: string, width?: string, precision?: string, letter = '') => {
    if (letter === '%') return '%';
    if (letter === '') return '%!(NOVERB)';
    if (next >= values.length) return `%!${letter}(MISSING)`;
    const value = values[next++] as Json;
    const verb: Verb = {
      flags,
      width: width === undefined ? undefined : bounded(Number(width)),
      precision: precision === undefined ? undefined : bounded(Number(precision || 0)),
      verb: letter,
    };
    return printed(value, verb);
  });
  const extra = values.slice(next).map((value) => `${typeName(value)}=${plain(value)}`);
  const whole = extra.length > 0 ? `${result}%!(EXTRA ${extra.join(', ')})` : result;
  if (whole.length > maxLength) throw new RangeError(`sprintf made ${whole.length} characters`);
  return whole;
};

function bounded(value: number): number {
  if (value > maxWidth) throw new Unclear(`sprintf takes no width above ${maxWidth}`);
  return value;
}

function printed(value: Json, verb: Verb): string {
  if (typeof value === 'number') return Number.isInteger(value) ? printedInteger(value, verb) : printedFloat(value, verb);
  return printedText(typeof value === 'string' ? value : termText(value), verb);
}

function printedText(value: string, { flags, width, precision, verb }: Verb): string {
  const cut = precision === undefined ? value : [...value].slice(0, precision).join('');
  switch (verb) {
    case 's':
      return padded(cut, flags, width);
    case 'v':
      return padded(flags.includes('#') ? JSON.stringify(value) : cut, flags, width);
    case 'q':
      if (!/^[\x20-\x7e]*$/.test(cut)) throw new Unclear('sprintf quotes plain text only here');
      return padded(flags.includes('#') && !cut.includes('`') ? `\`${cut}\`` : JSON.stringify(cut), flags, width);
    case 'x':
    case 'X': {
      if (/[# ]/.test(flags)) throw new Unclear('sprintf writes hex without flags here');
      const hex = Buffer.from(precision === undefined ? value : Buffer.from(value).subarray(0, precision)).toString('hex');
      return padded(verb === 'X' ? hex.toUpperCase() : hex, flags, width);
    }
    default:
      return `%!${verb}(string=${padded(cut, flags, width)})`;
  }
}

function printedInteger(value: number, given: Verb): string {
  if (!Number.isSafeInteger(value)) throw new Unclear(`the number ${value} is too large to be printed exactly here`);
  const { flags, width, verb } = given;
  const bases: Readonly<Record<string, number>> = { d: 10, v: 10, b: 2, o: 8, x: 16, X: 16 };
  const base = bases[verb];
  if (base === undefined) {
    if (verb === 'c') return padded(String.fromCodePoint(value >= 0 && value <= 0x10ffff ? value : 0xfffd), flags, width);
    if (verb === 'q' || verb === 'U' || verb === 'O' || verb === 'T' || verb === 'p')
      throw new Unclear(`sprintf takes no %${verb} of numbers here`);
    return `%!${verb}(int64=${printedInteger(value, { ...given, verb: 'd' })})`;
  }
  if (flags.includes('#') || given.precision !== undefined)
    throw new Unclear('sprintf takes neither # nor a precision with whole numbers here');
  const digits = Math.abs(value).toString(base);
  return signed(value < 0, verb === 'X' ? digits.toUpperCase() : digits, given);
}

function printedFloat(value: number, given: Verb): string {
  const { flags, precision, verb } = given;
  if (flags.includes('#')) throw new Unclear('sprintf takes no # with numbers here');
  const size = Math.abs(value);
  switch (verb) {
    case 'v':
    case 'g':
      if (precision !== undefined) throw new Unclear('sprintf takes no precision with %g here');
      return signed(value < 0, floatText(size), given);
    case 'f':
    case 'F':
      if ((precision ?? 6) > 100) throw new Unclear('sprintf takes a precision up to 100 here');
      return signed(value < 0, size.toFixed(precision ?? 6), given);
    case 'e':
    case 'E': {
      if ((precision ?? 6) > 100) throw new Unclear('sprintf takes a precision up to 100 here');
      const written = size.toExponential(precision ?? 6).replace(/e([+-])(\d)$/, 'e$10$2');
      return signed(value < 0, verb === 'E' ? written.toUpperCase() : written, given);
    }
    case 's':
    case 'd':
    case 't':
    case 'q':
    case 'c':
    case 'o':
      return `%!${verb}(float64=${printedFloat(value, { ...given, verb: 'g' })})`;
    default:
      throw new Unclear(`sprintf takes no %${verb} of numbers here`);
  }
}

function signed(negative: boolean, digits: string, { flags, width }: Verb): string {
  const sign = negative ? '-' : flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '';
  if (flags.includes('0') && !flags.includes('-') && width !== undefined) return sign + digits.padStart(width - sign.length, '0');
  return padded(sign + digits, flags.replace('0', ''), width);
}

function padded(value: string, flags: string, width: number | undefined): string {
  const missing = (width ?? 0) - [...value].length;
  if (missing <= 0) return value;
  if (flags.includes('-')) return value + ' '.repeat(missing);
  return (flags.includes('0') ? '0' : ' ').repeat(missing) + value;
}

function typeName(value: Json): string {
  return typeof value === 'number' ? (Number.isInteger(value) ? 'int64' : 'float64') : 'string';
}

function plain(value: Json): string {
  return printed(value, { flags: '', width: undefined, precision: undefined, verb: 'v' });
}

/** As OPA writes values. */
function termText(value: Json): string {
  if (Array.isArray(value)) {
    if (maybeSet(value)) throw new Unclear('sprintf can not tell whether this is an array or a set here');
    return `[${value.map(termText).join(', ')}]`;
  }
  if (isObject(value)) {
    const keys = Object.keys(value).sort(compare);
    return `{${keys.map((key) => `${JSON.stringify(key)}: ${termText(value[key] ?? null)}`).join(', ')}}`;
  }
  return JSON.stringify(value);
}
