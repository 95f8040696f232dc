// Input of actions and data plugins: from text to typed values, and whether values fit a DDL.

import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { type ActionItem, type DataDDL, DdlError, type InputItem } from './ddl.ts';
import { compilePattern } from './regexp.ts';

const trueWords: ReadonlySet<string> = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const falseWords: ReadonlySet<string> = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);
const decimalFloat = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
/** Whole numbers are 64 bits wide. */
const maxInteger = 2 ** 63;
const hexFloat = /^([+-]?)0x([\da-f]*)\.?([\da-f]*)p([+-]?\d+)$/i;

/** Turns `key=value` texts into typed input and adds defaults, as a client does. @throws DdlError */
export function convertInput(action: ActionItem, texts: Readonly<Record<string, string>>): Record<string, unknown> {
  const data = new Map<string, unknown>();
  for (const [given, text] of Object.entries(texts)) {
    const key = Object.hasOwn(action.input, given) ? given : given.toLowerCase();
    const input = Object.hasOwn(action.input, key) ? action.input[key] : undefined;
    if (!input) throw new DdlError(`input '${key}' has not been declared; ${describeInputs(action)}`);
    try {
      const value = convert(text, input);
      check(value, input);
      data.set(key, value);
    } catch (error) {
      throw new DdlError(`invalid value for '${key}': ${(error as Error).message}`);
    }
  }
  for (const [key, input] of sorted(action.input)) {
    if (data.has(key)) continue;
    if (input.default !== undefined && input.default !== null) data.set(key, input.default);
    else if (!input.optional) throw new DdlError(`input '${key}' is required`);
  }
  return Object.fromEntries(data);
}

/** Typed input with defaults for what is missing, checked, as a client does. @throws DdlError */
export function completeInput(action: ActionItem, data: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const given = Object.entries(data).filter(([, value]) => value !== undefined);
  const defaults = Object.entries(action.input).flatMap(([key, { default: value }]) =>
    value === undefined || value === null || data[key] !== undefined ? [] : [[key, value] as const],
  );
  const complete = Object.fromEntries([...defaults, ...given]);
  checkInput(action, complete);
  return complete;
}

/** Checks typed input as a node does: no defaults are added, `process_results` is ignored. @throws DdlError */
export function checkInput(action: ActionItem, data: unknown): void {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) throw new DdlError('the input is not an object');
  const { process_results: _ignored, ...rest } = data as Record<string, unknown>;
  const given = new Map(Object.entries(rest));
  for (const [key, input] of sorted(action.input)) {
    if (!given.has(key)) {
      if (!input.optional) throw new DdlError(`input '${key}' is required`);
      continue;
    }
    try {
      check(given.get(key), input);
    } catch (error) {
      throw new DdlError(`validation failed for input '${key}': ${(error as Error).message}`);
    }
  }
  const extra = [...given.keys()].find((key) => !Object.hasOwn(action.input, key));
  if (extra === undefined) return;
  const names = Object.keys(action.input).sort();
  if (names.length === 0) throw new DdlError('request contains inputs while none are declared in the DDL');
  throw new DdlError(
    `request contains an input '${extra}' that is not declared in the DDL. Valid inputs are: ${names.join(', ')}`,
  );
}

/** @throws DdlError if the data plugin takes no query, needs one, or this one does not fit */
export function checkQuery({ metadata, query }: DataDDL, given: string | undefined): void {
  if (!query) {
    if (given !== undefined) throw new DdlError(`the data plugin ${metadata.name} takes no query`);
    return;
  }
  const action = { action: metadata.name, description: metadata.description, input: { query }, output: {} };
  checkInput(action, given === undefined ? {} : { query: given });
}

function sorted<T>(items: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(items).sort(([a], [b]) => (a < b ? -1 : 1));
}

function describeInputs(action: ActionItem): string {
  const names = Object.keys(action.input).sort();
  return names.length === 0 ? `${action.action} takes no input` : `${action.action} takes ${names.join(', ')}`;
}

function convert(text: string, { type }: InputItem): unknown {
  switch (type.toLowerCase()) {
    case 'integer':
      return convertInteger(text);
    case 'float':
    case 'number':
      return convertFloat(text);
    case 'boolean':
      if (!trueWords.has(text) && !falseWords.has(text)) throw new DdlError(`'${text}' is not a valid boolean`);
      return trueWords.has(text);
    case 'string':
    case 'list':
      return text;
    case 'hash':
      return parsed(text, isHash, 'a hash');
    case 'array':
      return parsed(text, Array.isArray, 'an array');
    default:
      throw new DdlError(`unsupported type '${type}'`);
  }
}

function convertInteger(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw new DdlError(`'${text}' is not a valid integer`);
  const value = Number(text);
  // Beyond 2^53 another number than the one that was meant would be sent.
  if (!Number.isSafeInteger(value)) throw new DdlError(`'${text}' is not a valid integer: it is too large to be sent exactly`);
  return value;
}

/** Decimal or hexadecimal, underscores between digits, as Go reads floats; no infinity and NaN, which JSON has not. */
function convertFloat(text: string): number {
  const digits = text.replaceAll(/(?<=\d)_(?=\d)/g, '');
  const hex = hexFloat.exec(digits);
  const value = hex ? hexValue(hex) : decimalFloat.test(digits) ? Number(digits) : Number.NaN;
  if (!Number.isFinite(value)) throw new DdlError(`'${text}' is not a valid float`);
  return value;
}

function hexValue([, sign, whole = '', fraction = '', exponent]: RegExpExecArray): number {
  if (whole + fraction === '') return Number.NaN;
  const mantissa = Number.parseInt(whole + fraction, 16) * 2 ** (Number(exponent) - 4 * fraction.length);
  return sign === '-' ? -mantissa : mantissa;
}

function parsed(text: string, fits: (value: unknown) => boolean, what: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    if (fits(value)) return value;
  } catch {}
  throw new DdlError(`'${text}' is not a valid JSON string with ${what} inside`);
}

function isHash(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function check(value: unknown, input: InputItem): void {
  const problem = typeProblem(value, input);
  if (problem !== undefined) throw new DdlError(problem);
  if (input.type.toLowerCase() === 'string') checkString(value as string, input);
}

/** What is wrong with the type of a value; undefined if nothing is. */
export function typeProblem(value: unknown, { type, list }: Pick<InputItem, 'type' | 'list'>): string | undefined {
  switch (type.toLowerCase()) {
    case 'integer':
    case 'int':
      return Number.isInteger(value) && Math.abs(value as number) < maxInteger ? undefined : 'is not an integer';
    case 'float':
      return typeof value === 'number' ? undefined : 'is not a float';
    case 'number':
      return typeof value === 'number' ? undefined : 'is not a number';
    case 'string':
      return typeof value === 'string' ? undefined : 'is not a string';
    case 'boolean':
      return typeof value === 'boolean' ? undefined : 'is not a boolean';
    case 'list':
      if (!list || list.length === 0) return 'input type of list without a valid list of items in DDL';
      if (typeof value !== 'string') return 'should be a string';
      return list.includes(value) ? undefined : `should be one of ${list.join(', ')}`;
    case 'hash':
      return isHash(value) ? undefined : 'is not a hash map';
    case 'array':
      return Array.isArray(value) ? undefined : 'is not an array';
    default:
      return `unsupported input type '${type}'`;
  }
}

const shellCharacters = ['`', '$', ';', '|', '&&', '>', '<'];

/** In the order of Choria; without `maxlength` nothing is checked, by the same rule. */
function checkString(value: string, { maxlength, validation }: InputItem): void {
  if (!maxlength) return;
  if (Buffer.byteLength(value) > maxlength) throw new DdlError(`is longer than ${maxlength} characters`);
  if (!validation) return;
  switch (validation) {
    case 'shellsafe': {
      const unsafe = shellCharacters.find((characters) => value.includes(characters));
      if (unsafe) throw new DdlError(`may not contain '${unsafe}'`);
      return;
    }
    case 'ipv4address':
      if (!isV4(value)) throw new DdlError(`${value} is not an IPv4 address`);
      return;
    case 'ipv6address':
      if (!isV6(value) || isV4(value)) throw new DdlError(`${value} is not an IPv6 address`);
      return;
    case 'ipaddress':
      if (!isIPv4(value) && !isV6(value)) throw new DdlError(`${value} is not an IP address`);
      return;
    default:
      if (/^[a-z]/.test(validation)) return;
      checkPattern(value, validation);
  }
}

/** How an IPv4-mapped address is always spelt by the system. */
const mappedV4 = /^::ffff:\d+\.\d+\.\d+\.\d+$/;

/** IPv4, or the same as an IPv4-mapped IPv6 address in any spelling. */
function isV4(value: string): boolean {
  if (isIPv4(value)) return true;
  return isV6(value) && mappedV4.test(new SocketAddress({ address: value, family: 'ipv6' }).address);
}

/** Without a zone. */
function isV6(value: string): boolean {
  return isIPv6(value) && !value.includes('%');
}

function checkPattern(value: string, validation: string): void {
  const pattern = compilePattern(validation);
  if (!pattern) throw new DdlError(`invalid regex '${validation}'`);
  if (!pattern.test(value)) throw new DdlError(`input does not match '${validation}'`);
}
