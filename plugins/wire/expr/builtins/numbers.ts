// Built-ins for numbers: rounding, conversion, bits, and sums over lists.

import { parseFloat64, parseInt64 } from '../../go-numbers.ts';
import { type Budget, checkDepth } from '../limits.ts';
import { compare } from '../operators.ts';
import { any, float, int, isList, isUnknown, spellType, type Type } from '../types.ts';
import { Duration, fail, itemsOf, NamedNumber, spell, toFloat, toInt, type Value, wrap } from '../values.ts';
import { type Builtin, oneOf, overloads } from './define.ts';

/** Durations, months and weekdays are numbers to Go's types, and mostly not to its functions. */
const number: readonly Type['kind'][] = ['int', 'float', 'duration', 'month', 'weekday'];

export const numbers: Readonly<Record<string, Builtin>> = {
  abs: {
    check: oneOf(number, (arg) => arg),
    run: ([value]) => {
      if (typeof value === 'bigint') return value < 0n ? wrap(-value) : value;
      // Minus zero is not below zero.
      return typeof value === 'number' ? (value < 0 ? -value : value) : fail(`abs takes a number, not ${spell(value)}`);
    },
  },
  ceil: { check: oneOf(number, float), run: ([value]) => Math.ceil(toFloat(value)) },
  floor: { check: oneOf(number, float), run: ([value]) => Math.floor(toFloat(value)) },
  round: { check: oneOf(number, float), run: ([value]) => round(toFloat(value)) },
  int: { check: oneOf([...number, 'string'], int), run: ([value]) => parseWhole(value) },
  float: { check: oneOf([...number, 'string'], float), run: ([value]) => parseNumber(value) },
  max: { check: aggregate, run: (args, { budget }) => extreme('max', args, (best, value) => compare(best, value) < 0, budget) },
  min: { check: aggregate, run: (args, { budget }) => extreme('min', args, (best, value) => compare(best, value) > 0, budget) },
  mean: {
    check: aggregate,
    run: (args, { budget }) => {
      const all = numbersIn('mean', args, budget);
      return all.length === 0 ? 0 : all.reduce((sum, value) => sum + value, 0) / all.length;
    },
  },
  median: {
    check: aggregate,
    run: (args, { budget }) => {
      const all = numbersIn('median', args, budget).sort((a, b) => a - b);
      const middle = Math.floor(all.length / 2);
      if (all.length === 0) return 0;
      return all.length % 2 === 1 ? all[middle] : ((all[middle - 1] ?? 0) + (all[middle] ?? 0)) / 2;
    },
  },
  bitand: bits('bitand', (a, b) => a & b),
  bitor: bits('bitor', (a, b) => a | b),
  bitxor: bits('bitxor', (a, b) => a ^ b),
  bitnand: bits('bitnand', (a, b) => a & ~b),
  bitshl: bits('bitshl', (a, b) => (shift(b) > 63n ? 0n : a << b)),
  bitshr: bits('bitshr', (a, b) => a >> (shift(b) > 63n ? 63n : b)),
  bitushr: bits('bitushr', (a, b) => (shift(b) > 63n ? 0n : BigInt.asUintN(64, a) >> b)),
  bitnot: { check: overloads([[int], int]), run: ([value]) => ~wantWhole(value, 'bitnot') },
};

/** Away from zero at a half, unlike in JavaScript; large numbers are whole already. */
function round(value: number): number {
  const cut = Math.trunc(value);
  return Math.abs(value - cut) >= 0.5 ? cut + Math.sign(value) : cut;
}

function parseWhole(value: Value): bigint {
  if (value instanceof NamedNumber) return value.value;
  if (value instanceof Duration) return value.nanoseconds;
  if (typeof value !== 'string') return toInt(value);
  return parseInt64(value) ?? fail(`'${value.slice(0, 64)}' is no whole number of 64 bits`);
}

function parseNumber(value: Value): number {
  if (typeof value !== 'string') return toFloat(value);
  return parseFloat64(value) ?? fail(`'${value.slice(0, 64)}' is no number`);
}

function aggregate(args: readonly Type[], name: string): Type | string {
  if (args.length === 0) return `${name} takes at least one argument`;
  for (const arg of args) {
    if (isUnknown(arg) || isList(arg)) return any;
    if (!number.includes(arg.kind)) return `${name} does not take ${spellType(arg)}`;
  }
  return args[0] ?? any;
}

function extreme(name: string, args: readonly Value[], isBetter: (best: Value, value: Value) => boolean, budget: Budget): Value {
  const [only] = args;
  if (args.length === 1 && !isNumeric(only) && !itemsOf(only)) return only;
  return best(name, args, isBetter, budget, 0) ?? null;
}

function best(
  name: string,
  args: readonly Value[],
  isBetter: (best: Value, value: Value) => boolean,
  budget: Budget,
  depth: number,
): Value {
  checkDepth(depth);
  let found: Value;
  for (const arg of args) {
    budget.spend(1);
    const items = itemsOf(arg);
    const value = items ? best(name, items, isBetter, budget, depth + 1) : arg;
    if (value === undefined) continue;
    if (!isNumeric(value)) return fail(`${name} takes numbers, not ${spell(value)}`);
    if (found === undefined || isBetter(found, value)) found = value;
  }
  return found;
}

function isNumeric(value: Value): boolean {
  return typeof value === 'number' || typeof value === 'bigint' || value instanceof Duration || value instanceof NamedNumber;
}

function numbersIn(name: string, args: readonly Value[], budget: Budget, depth = 0): number[] {
  checkDepth(depth);
  const found: number[] = [];
  for (const arg of args) {
    budget.spend(1);
    const items = itemsOf(arg);
    if (items) for (const value of numbersIn(name, items, budget, depth + 1)) found.push(value);
    else if (arg instanceof NamedNumber) found.push(Number(arg.value));
    else if (arg instanceof Duration) found.push(Number(arg.nanoseconds));
    else if (isNumeric(arg)) found.push(toFloat(arg));
    else return fail(`${name} takes numbers, not ${spell(arg)}`);
  }
  return found;
}

function bits(name: string, calculate: (a: bigint, b: bigint) => bigint): Builtin {
  return {
    check: overloads([[int, int], int]),
    run: ([a, b]) => wrap(calculate(wantWhole(a, name), wantWhole(b, name))),
  };
}

function wantWhole(value: Value, name: string): bigint {
  return typeof value === 'bigint' ? value : fail(`${name} takes whole numbers; write int(…) around ${spell(value)}`);
}

function shift(by: bigint): bigint {
  return by < 0n ? fail(`bits can't be shifted by ${by}`) : by;
}
