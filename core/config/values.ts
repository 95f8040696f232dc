// Text to typed values by the keys that manifests declare. Every problem names its file and line.

import { homedir } from 'node:os';
import { delimiter } from 'node:path';
import { ConfigError, type ConfigFile, type Entry } from './dialect.ts';
import { nearest } from './nearest.ts';

export type KeyType = 'string' | 'integer' | 'boolean' | 'duration' | 'list' | 'lines' | 'paths' | 'path' | 'title';
export type Value = string | number | boolean | readonly string[];

/** A configuration key as a manifest declares it. */
export interface KeySpec {
  readonly type: KeyType;
  readonly description: string;
  readonly default?: Value;
  readonly enum?: readonly string[];
  /** Never shown or logged. */
  readonly secret?: boolean;
  readonly required?: boolean;
}

export type KeySpecs = ReadonlyMap<string, KeySpec>;

export interface ResolvedConfig {
  readonly values: ReadonlyMap<string, Value>;
  /** Keys that nobody declares and that are probably misspelt, each with a suggestion. Other unknown keys pass. */
  readonly warnings: readonly string[];
  readonly file: string | undefined;
}

/**
 * Types every declared key; undeclared ones stay text.
 * @throws ConfigError with all malformed values, each with file and line
 */
export function resolveConfig(config: ConfigFile, specs: KeySpecs): ResolvedConfig {
  const values = new Map<string, Value>();
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const [key, spec] of specs) if (spec.default !== undefined) values.set(key, spec.default);
  for (const entry of config.entries) {
    const spec = specs.get(entry.key);
    if (!spec) {
      const warning = undeclared(entry, specs);
      if (warning) warnings.push(warning);
      values.set(entry.key, entry.value);
      continue;
    }
    const outcome = convert(entry.value, spec, values.get(entry.key));
    if ('problem' in outcome)
      problems.push(`${entry.file}:${entry.line}: ${entry.key} ${outcome.problem}${spec.secret ? '' : `, not '${entry.value}'`}`);
    else values.set(entry.key, outcome.value);
  }
  for (const [key, spec] of specs)
    if (spec.required && !values.has(key))
      problems.push(`${config.file ?? 'configuration'}: ${key} is missing: ${spec.description}`);
  if (problems.length > 0) throw new ConfigError(problems);
  return { values, warnings, file: config.file };
}

/** Keys of other programs share these files, so only what looks like a slip of the pen is worth a word. */
function undeclared(entry: Entry, specs: KeySpecs): string | undefined {
  const suggestion = nearest(entry.key, specs.keys());
  return suggestion ? `${entry.file}:${entry.line}: ${entry.key} is not a known key; did you mean ${suggestion}?` : undefined;
}

type Outcome = { readonly value: Value } | { readonly problem: string };

function convert(text: string, spec: KeySpec, before: Value | undefined): Outcome {
  const outcome = converters[spec.type](text, before);
  if ('value' in outcome && spec.enum) {
    const given = Array.isArray(outcome.value) ? outcome.value : [String(outcome.value)];
    const wrong = given.find((item) => !spec.enum?.some((allowed) => allowed.toLowerCase() === item.toLowerCase()));
    if (wrong !== undefined) return { problem: `must be one of ${spec.enum.join(', ')}` };
  }
  return outcome;
}

const converters: Readonly<Record<KeyType, (text: string, before: Value | undefined) => Outcome>> = {
  string: (text) => ({ value: text }),
  title: (text) => ({ value: text.charAt(0).toUpperCase() + text.slice(1) }),
  integer: (text) => (/^[+-]?\d+$/.test(text) ? { value: Number(text) } : { problem: 'must be a whole number' }),
  boolean: (text) => {
    if (isTrue(text)) return { value: true };
    return /^(0|no|false|n|f)$/i.test(text)
      ? { value: false }
      : { problem: 'must be one of 1, yes, true, y, t, 0, no, false, n, f' };
  },
  duration: (text) => {
    const ms = parseDuration(text);
    return ms === undefined ? { problem: 'must be a duration such as 30, 10s, 1h30m, 2d or 1w' } : { value: ms };
  },
  list: (text) => ({ value: split(text, ',') }),
  lines: (text, before) => ({ value: [...(Array.isArray(before) ? before : []), text] }),
  paths: (text, before) => ({ value: [...(Array.isArray(before) ? before : []), ...split(text, delimiter).map(expandHome)] }),
  path: (text) => ({ value: expandHome(text) }),
};

/** Whether a value says yes: true, a number that is not 0, or text that says so, since nobody declared its key. */
export function isTrue(value: Value | undefined): boolean {
  return (
    value === true ||
    (typeof value === 'number' && value !== 0) ||
    (typeof value === 'string' && /^(1|yes|true|y|t)$/i.test(value))
  );
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1e3,
  m: 6e4,
  h: 3.6e6,
  d: 8.64e7,
  D: 8.64e7,
  w: 6.048e8,
  W: 6.048e8,
  M: 2.592e9,
  y: 3.1536e10,
  Y: 3.1536e10,
};

/** Milliseconds of a duration: digits alone are seconds, else `10s`, `1h30m`, or a number with d, w, M (30 days) or y (365 days). */
export function parseDuration(text: string): number | undefined {
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|[dDwWMyY]))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|[dDwWMyY])/g))
    total += Number(amount) * (unitMs[unit ?? ''] ?? 0);
  return total;
}

function split(text: string, separator: string): string[] {
  return text
    .split(separator)
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? homedir() + path.slice(1) : path;
}
