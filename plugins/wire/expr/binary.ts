// Operators between two values as functions, with what is known of their operands made use of.

import { compilePattern, type Pattern } from '../regexp.ts';
import type { Node, NodeOf } from './ast.ts';
import type { Code } from './evaluate.ts';
import type { Budget } from './limits.ts';
import { add, compare, divide, equal, isIn, modulo, multiply, power, range, subtract } from './operators.ts';
import { fail, isNil, kindOf, spell, type Value, wantText } from './values.ts';

export function binaryOperator(node: NodeOf<'binary'>): (a: Value, b: Value, budget: Budget) => Value {
  const { operator } = node;
  switch (operator) {
    case '==':
      return equality(node);
    case '!=': {
      const same = equality(node);
      return (a, b, budget) => !same(a, b, budget);
    }
    case '<':
      return (a, b) => compare(a, b) < 0;
    case '<=':
      return (a, b) => compare(a, b) <= 0;
    case '>':
      return (a, b) => compare(a, b) > 0;
    case '>=':
      return (a, b) => compare(a, b) >= 0;
    case '+':
      return add;
    case '-':
      return subtract;
    case '*':
      return multiply;
    case '/':
      return divide;
    case '%':
      return modulo;
    case '..':
      return range;
    case 'contains':
      return onText(operator, (a, b) => a.includes(b));
    case 'startsWith':
      return onText(operator, (a, b) => a.startsWith(b));
    case 'endsWith':
      return onText(operator, (a, b) => a.endsWith(b));
    default:
      return power;
  }
}

/** What is known to be whole numbers or strings on both sides is compared as such, and a nil in its place is an error. */
function equality({ left, right }: NodeOf<'binary'>): (a: Value, b: Value, budget: Budget) => boolean {
  const kind = left.type?.kind;
  if (kind !== right.type?.kind || (kind !== 'int' && kind !== 'string')) return equal;
  const wanted = kind === 'int' ? 'bigint' : 'string';
  return (a, b) =>
    typeof a === wanted && typeof b === wanted
      ? a === b
      : fail(`${spell(typeof a === wanted ? b : a)} stands where a value of another type was promised`);
}

function onText(operator: string, test: (a: string, b: string) => boolean): (a: Value, b: Value, budget: Budget) => boolean {
  return (a, b, budget) => {
    if (isNil(a) || isNil(b)) return false;
    const whole = wantText(a, `'${operator}'`);
    budget.spend(Math.ceil(whole.length / 16));
    return test(whole, wantText(b, `'${operator}'`));
  };
}

/** A constant pattern is compiled once. */
export function matches(node: NodeOf<'binary'>, left: Code, right: Code): Code {
  const known =
    node.right.kind === 'constant' && typeof node.right.value === 'string' ? compilePattern(node.right.value) : undefined;
  return (frame) => {
    const value = left(frame);
    const source = known ? '' : right(frame);
    frame.at = node.at;
    if (isNil(value) || isNil(source)) return false;
    const text = value instanceof Uint8Array ? Buffer.from(value).toString() : wantText(value, "'matches'");
    const pattern = known ?? compileWithin(wantText(source, "'matches'"), frame.budget);
    frame.budget.spend((1 + text.length) * pattern.size);
    return pattern.test(text);
  };
}

/** About what it costs, in steps, to compile a character of a pattern or an instruction. */
const compileSteps = 64;

function compileWithin(source: string, budget: Budget): Pattern {
  budget.spend(compileSteps * source.length);
  const pattern = compilePattern(source) ?? fail(`'${source.slice(0, 80)}' is no valid pattern`);
  budget.spend(compileSteps * pattern.size);
  return pattern;
}

/** `in` with a list of constant strings takes strings only, and nil for an empty one; likewise whole numbers. */
export function membership({ left, right, at }: NodeOf<'binary'>, needle: Code, hay: Code): Code {
  const kind = constantsOf(right);
  const set = kind === 'string' || (kind === 'int' && left.type?.kind === 'int') ? constantSet(right) : undefined;
  if (!set)
    return (frame) => {
      const [wanted, whole] = [needle(frame), hay(frame)];
      frame.at = at;
      return isIn(wanted, whole, frame.budget);
    };
  const empty = kind === 'string' ? '' : 0n;
  return (frame) => {
    const value = needle(frame);
    frame.at = at;
    if (isNil(value)) return set.has(empty);
    return kindOf(value) === kind
      ? set.has(value)
      : fail(`the list holds ${kind === 'string' ? 'strings' : 'whole numbers'}, not ${spell(value)}`);
  };
}

function constantsOf(node: Node): 'string' | 'int' | undefined {
  if (node.kind !== 'array' || node.nodes.length === 0) return undefined;
  const types = new Set(node.nodes.map((item) => (item.kind === 'constant' ? typeof item.value : '')));
  if (types.size > 1) return undefined;
  return types.has('string') ? 'string' : types.has('bigint') ? 'int' : undefined;
}

function constantSet(node: Node): ReadonlySet<Value> {
  return new Set(node.kind === 'array' ? node.nodes.map((item) => (item.kind === 'constant' ? item.value : null)) : []);
}
