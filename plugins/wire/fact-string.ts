// Fact filters as people write them (`os.family=Debian`), and the comparison of a fact with a filter, by Choria's rules.

import { lookup } from './facts.ts';
import { parseFloat64, parseInt64 } from './go-numbers.ts';
import { type Compile, compilePattern } from './regexp.ts';

export interface FactFilter {
  /** gjson path of the fact. */
  readonly fact: string;
  readonly operator: string;
  readonly value: string;
}

export const operators: ReadonlySet<string> = new Set(['==', '!=', '=~', '<', '>', '<=', '>=']);
const found = /<=|>=|=>|=<|<|>|!=|=~|={1,2}/g;
const spellings: Readonly<Record<string, string>> = { '=': '==', '=>': '>=', '=<': '<=' };

/** Splits at the rightmost operator; undefined if the text is no fact filter. A value in slashes always means `=~`. */
export function parseFactString(text: string): FactFilter | undefined {
  const last = [...text.matchAll(found)].at(-1);
  if (!last) return undefined;
  const left = text.slice(0, last.index).trim();
  const right = text.slice(last.index + last[0].length).trim();
  if (left === '' || right === '' || /^[=<>]/.test(left) || /[=<>]$/.test(right)) return undefined;
  const isPattern = right.startsWith('/') && right.endsWith('/');
  return { fact: left, operator: isPattern ? '=~' : (spellings[last[0]] ?? last[0]), value: right };
}

/** A comparison that makes no sense; the whole group of fact filters is then false. */
export class FactError extends Error {
  override readonly name = 'FactError';
  readonly code = 'FACT';
}

const truthy: ReadonlySet<string> = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);

/** Whether the facts fit the filter. A fact that is not there fits nothing. @throws FactError */
export function matchFact(facts: unknown, { fact, operator, value }: FactFilter, compile: Compile = compilePattern): boolean {
  const actual = lookup(facts, fact);
  if (actual === undefined) return false;
  if (!operators.has(operator)) throw new FactError(`unknown operator ${operator}`);
  switch (typeof actual) {
    case 'string':
      return matchString(actual, operator, value, compile);
    case 'number':
      return value.includes('.') ? matchFloat(actual, operator, value, compile) : matchInteger(actual, operator, value, compile);
    case 'boolean':
      return matchBoolean(actual, operator, value);
    default:
      if (/[<>]/.test(operator)) throw new FactError(`${operator} can't compare ${fact}`);
      return false;
  }
}

function matchString(actual: string, operator: string, value: string, compile: Compile): boolean {
  if (operator === '==') return foldCase(actual) === foldCase(value);
  if (operator === '!=') return foldCase(actual) !== foldCase(value);
  if (operator === '=~') return matchPattern(actual, value, compile);
  return byOrder(Buffer.compare(Buffer.from(actual.toLowerCase()), Buffer.from(value.toLowerCase())), operator);
}

/** Without case, letter by letter: one that becomes several stays what it is. */
function foldCase(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text.toLowerCase();
  return Array.from(text, (char) => {
    const upper = char.toUpperCase();
    return ([...upper].length === 1 ? upper : char).toLowerCase();
  }).join('');
}

/** Instructions times characters: some tenths of a second. */
const maxPatternSteps = 5_000_000;

/** The pattern that the value of `=~` stands for. */
export function factPattern(value: string): string {
  return value.replace(/^\/+|\/+$/g, '');
}

function matchPattern(actual: string, value: string, compile: Compile): boolean {
  const pattern = compile(factPattern(value), { ignoreCase: true });
  if (!pattern) throw new FactError(`${value} is not a valid pattern`);
  if (pattern.size * actual.length > maxPatternSteps) throw new FactError(`${value} is too large a pattern for this fact`);
  return pattern.test(actual);
}

function matchFloat(actual: number, operator: string, value: string, compile: Compile): boolean {
  if (operator === '=~') return matchPattern(fourDecimals(actual), value, compile);
  const wanted = parseFloat64(value);
  if (wanted === undefined) throw new FactError(`${value} is not a number`);
  if (operator === '==') return actual === wanted;
  if (operator === '!=') return actual !== wanted;
  // With a dot, `>` is `>=` in every Choria server.
  return operator === '>' ? actual >= wanted : byOrder(actual - wanted, operator);
}

/** JavaScript writes large numbers with an exponent, although decimals were asked for. */
function fourDecimals(value: number): string {
  return Math.abs(value) < 1e21 ? value.toFixed(4) : `${BigInt(value)}.0000`;
}

const [leastInteger, largestInteger] = [-(2n ** 63n), 2n ** 63n - 1n];

function matchInteger(actual: number, operator: string, value: string, compile: Compile): boolean {
  const cut = toInteger(actual);
  if (operator === '=~') return matchPattern(String(cut), value, compile);
  if (operator === '==') return String(cut) === value;
  if (operator === '!=') return String(cut) !== value;
  const wanted = parseInt64(value);
  if (wanted === undefined) throw new FactError(`${value} is not a whole number`);
  return byOrder(cut < wanted ? -1 : cut > wanted ? 1 : 0, operator);
}

/** Cut to a whole number of 64 bits. */
function toInteger(value: number): bigint {
  const cut = BigInt(Math.trunc(value));
  return cut < leastInteger ? leastInteger : cut > largestInteger ? largestInteger : cut;
}

function matchBoolean(actual: boolean, operator: string, value: string): boolean {
  if (/[<>]/.test(operator)) throw new FactError(`${operator} can't compare true and false`);
  const wanted = truthy.has(operator === '==' ? value : value.toLowerCase());
  // `!=` on a false fact gives the answer of `==`, in every Choria server.
  if (!actual) return !wanted;
  return operator === '!=' ? !wanted : wanted;
}

function byOrder(order: number, operator: string): boolean {
  switch (operator) {
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    default:
      return order >= 0;
  }
}
