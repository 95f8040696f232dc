// Agent DDLs: reading them, text to typed input, checks of a whole request, defaults of the output.

import { isIPv4, isIPv6 } from 'node:net';
import { type ActionItem, type AgentDDL, type InputItem, validate } from '#schemas/mcorpc/ddl/v1/agent';
import { compilePattern } from './regexp.ts';

export type { ActionItem, AgentDDL, InputItem };

export class DdlError extends Error {
  override readonly name = 'DdlError';
  readonly code = 'DDL';
}

/** @throws DdlError naming the field */
export function readDdl(value: unknown, origin: string): AgentDDL {
  if (validate(value)) return value;
  const first = validate.errors?.[0];
  throw new DdlError(
    `${origin} is no agent DDL: ${first?.instancePath.slice(1).replaceAll('/', '.') || 'the document'} ${first?.message ?? 'is not valid'}`,
  );
}

/** @throws DdlError listing the actions there are */
export function findAction(ddl: AgentDDL, action: string): ActionItem {
  const found = ddl.actions.find((item) => item.action === action);
  if (found) return found;
  throw new DdlError(
    `unknown action ${ddl.metadata.name}#${action}; there are ${ddl.actions.map((item) => item.action).join(', ')}`,
  );
}

const trueWords: ReadonlySet<string> = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const falseWords: ReadonlySet<string> = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);
const floatPattern = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Turns `key=value` texts into typed input and adds defaults, as a client does. @throws DdlError */
export function convertInput(action: ActionItem, texts: Readonly<Record<string, string>>): Record<string, unknown> {
  const data: Record<string, unknown> = {};
  for (const [given, text] of Object.entries(texts)) {
    const key = Object.hasOwn(action.input, given) ? given : given.toLowerCase();
    const input = action.input[key];
    if (!input) throw new DdlError(`input '${key}' has not been declared; ${describeInputs(action)}`);
    try {
      const value = convert(text, input);
      check(value, input);
      data[key] = value;
    } catch (error) {
      throw new DdlError(`invalid value for '${key}': ${(error as Error).message}`);
    }
  }
  for (const [key, input] of sorted(action.input)) {
    if (key in data) continue;
    if (input.default !== undefined && input.default !== null) data[key] = input.default;
    else if (!input.optional) throw new DdlError(`input '${key}' is required`);
  }
  return data;
}

/** Checks typed input as a node does: no defaults are added, `process_results` is ignored. @throws DdlError */
export function checkInput(action: ActionItem, data: unknown): void {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) throw new DdlError('the input is not an object');
  const { process_results: _ignored, ...given } = data as Record<string, unknown>;
  for (const [key, input] of sorted(action.input)) {
    if (given[key] === undefined) {
      if (!input.optional) throw new DdlError(`input '${key}' is required`);
      continue;
    }
    try {
      check(given[key], input);
    } catch (error) {
      throw new DdlError(`validation failed for input '${key}': ${(error as Error).message}`);
    }
  }
  const extra = Object.keys(given).find((key) => !Object.hasOwn(action.input, key));
  if (extra === undefined) return;
  const names = Object.keys(action.input).sort();
  if (names.length === 0) throw new DdlError('request contains inputs while none are declared in the DDL');
  throw new DdlError(
    `request contains an input '${extra}' that is not declared in the DDL. Valid inputs are: ${names.join(', ')}`,
  );
}

/** The output with the DDL's defaults for what is missing. */
export function withOutputDefaults(action: ActionItem, data: unknown): unknown {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return data;
  const defaults = Object.entries(action.output).filter(
    ([key, output]) => output.default !== undefined && output.default !== null && !(key in data),
  );
  return defaults.length === 0
    ? data
    : { ...data, ...Object.fromEntries(defaults.map(([key, output]) => [key, output.default])) };
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
      if (!/^[+-]?\d+$/.test(text)) throw new DdlError(`'${text}' is not a valid integer`);
      return Number(text);
    case 'float':
    case 'number':
      if (!floatPattern.test(text))
        throw new DdlError(`'${text}' is not a valid ${type.toLowerCase() === 'float' ? 'float' : 'number'}`);
      return Number(text);
    case 'boolean':
      if (!trueWords.has(text) && !falseWords.has(text)) throw new DdlError(`'${text}' is not a valid boolean`);
      return trueWords.has(text);
    case 'string':
    case 'list':
      return text;
    case 'hash':
      return parsed(text, (value) => typeof value === 'object' && value !== null && !Array.isArray(value), 'a hash');
    case 'array':
      return parsed(text, Array.isArray, 'an array');
    default:
      throw new DdlError(`unsupported type '${type}'`);
  }
}

function parsed(text: string, fits: (value: unknown) => boolean, what: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    if (fits(value)) return value;
  } catch {}
  throw new DdlError(`'${text}' is not a valid JSON string with ${what} inside`);
}

function check(value: unknown, input: InputItem): void {
  const problem = typeProblem(value, input);
  if (problem !== undefined) throw new DdlError(problem);
  if (input.type.toLowerCase() === 'string') checkString(value as string, input);
}

/** What is wrong with the type of a value; undefined if nothing is. */
function typeProblem(value: unknown, { type, list }: InputItem): string | undefined {
  switch (type.toLowerCase()) {
    case 'integer':
    case 'int':
      return Number.isInteger(value) ? undefined : 'is not an integer';
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
      return typeof value === 'object' && value !== null && !Array.isArray(value) ? undefined : 'is not a hash map';
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
      if (!isIPv6(value) || isV4(value)) throw new DdlError(`${value} is not an IPv6 address`);
      return;
    case 'ipaddress':
      if (!isIPv4(value) && !isIPv6(value)) throw new DdlError(`${value} is not an IP address`);
      return;
    default:
      if (/^[a-z]/.test(validation)) return;
      checkPattern(value, validation);
  }
}

/** IPv4, or the same as an IPv4-mapped IPv6 address. */
function isV4(value: string): boolean {
  return isIPv4(value) || (isIPv6(value) && isIPv4(/^::ffff:([\d.]+)$/i.exec(value)?.[1] ?? ''));
}

function checkPattern(value: string, validation: string): void {
  const pattern = compilePattern(validation);
  if (!pattern) throw new DdlError(`invalid regex '${validation}'`);
  if (!pattern.test(value)) throw new DdlError(`input does not match '${validation}'`);
}
