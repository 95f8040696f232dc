// A checked tree as a function. Each node becomes a closure once, so that an evaluation does nothing but what it must.

import type { Node, NodeOf } from './ast.ts';
import { binaryOperator, matches, membership } from './binary.ts';
import { findBuiltin, type Scene } from './builtins/index.ts';
import { ExprError } from './errors.ts';
import { Budget } from './limits.ts';
import { loop } from './loops.ts';
import { methodOf } from './methods.ts';
import { fetch, negate, slice } from './operators.ts';
import {
  fail,
  isNil,
  itemsOf,
  kindOf,
  MapValue,
  NativeFunction,
  spell,
  TypedList,
  type Value,
  wantBool,
  wantText,
} from './values.ts';

/** What names stand for. Others are nil. */
export type Environment = ReadonlyMap<string, Value>;

export interface EvaluateOptions {
  /** Milliseconds since 1970, for `now()`. */
  readonly now: number;
  /** Shared by the evaluations of one filter. */
  readonly budget?: Budget | undefined;
}

/** An element that a predicate looks at. */
export interface LoopState {
  readonly items: readonly Value[];
  index: number;
  acc: Value;
  readonly around: LoopState | undefined;
}

/** One evaluation. */
export class Frame implements Scene {
  readonly budget: Budget;
  readonly now: number;
  readonly environment: Environment;
  readonly variables = new Map<string, Value>();
  /** Place of the node at work. */
  at = 0;
  loop: LoopState | undefined;

  constructor(environment: Environment, { now, budget = new Budget() }: EvaluateOptions) {
    this.environment = environment;
    this.now = now;
    this.budget = budget;
  }
}

export type Code = (frame: Frame) => Value;

/** Ends an optional chain whose base is nil. */
const cut = Symbol('cut');

export function compile(root: Node): Code {
  return new Compiler().code(root);
}

class Compiler {
  readonly #done = new Map<Node, Code>();
  /** Chains around the node: without one, `?.` is a plain dot. */
  #chains = 0;

  code(node: Node): Code {
    const known = this.#done.get(node);
    if (known) return known;
    const code = this.#compile(node);
    this.#done.set(node, code);
    return code;
  }

  #compile(node: Node): Code {
    switch (node.kind) {
      case 'nil':
        return () => null;
      case 'constant':
        return () => node.value;
      case 'identifier':
        return identifier(node.name);
      case 'unary':
        return this.#unary(node);
      case 'binary':
        return this.#binary(node);
      case 'chain':
        return this.#chain(node);
      case 'member':
        return this.#member(node);
      case 'slice':
        return this.#slice(node);
      case 'call':
        return this.#call(node);
      case 'builtin':
        return this.#builtin(node);
      case 'predicate':
        return this.code(node.node);
      case 'pointer':
        return pointer(node.name);
      case 'let':
        return this.#let(node);
      case 'sequence':
        return this.#sequence(node);
      case 'conditional':
        return this.#conditional(node);
      case 'array':
        return this.#array(node);
      case 'map':
        return this.#map(node);
    }
  }

  #unary(node: NodeOf<'unary'>): Code {
    const value = this.code(node.node);
    const { operator, at } = node;
    if (operator === '+') return value;
    return (frame) => {
      const operand = value(frame);
      frame.at = at;
      return operator === '-' ? negate(operand) : !wantBool(operand, operator);
    };
  }

  #binary(node: NodeOf<'binary'>): Code {
    const { operator, at } = node;
    const [left, right] = [this.code(node.left), this.code(node.right)];
    switch (operator) {
      case 'and':
      case '&&':
        return (frame) => wantLeft(left(frame), operator, at, frame) && right(frame);
      case 'or':
      case '||':
        return (frame) => wantLeft(left(frame), operator, at, frame) || right(frame);
      case '??':
        return (frame) => {
          const value = left(frame);
          return isNil(value) ? right(frame) : value;
        };
      case 'matches':
        return matches(node, left, right);
      case 'in':
        return membership(node, left, right);
      default: {
        const operate = binaryOperator(node);
        return (frame) => {
          const [a, b] = [left(frame), right(frame)];
          frame.at = at;
          return operate(a, b, frame.budget);
        };
      }
    }
  }

  #chain(node: NodeOf<'chain'>): Code {
    this.#chains += 1;
    const inner = this.code(node.node);
    this.#chains -= 1;
    return (frame) => {
      const value = inner(frame);
      // A nil of some type is plain nil afterwards.
      return value === cut || isNil(value) ? null : value;
    };
  }

  #member(node: NodeOf<'member'>): Code {
    const { at, optional } = node;
    const isEnvironment = node.node.kind === 'identifier' && node.node.name === '$env';
    const ends = optional && this.#chains > 0;
    const [base, property] = [this.code(node.node), this.code(node.property)];
    return (frame) => {
      const from = base(frame);
      if (from === cut || (ends && isNil(from))) return cut;
      const name = property(frame);
      frame.at = at;
      if (isEnvironment && typeof name === 'string') return frame.environment.get(name) ?? null;
      return (typeof name === 'string' && typeof from === 'object' && methodOf(from, name)) || fetch(from, name);
    };
  }

  #slice({ node, from, to, at }: NodeOf<'slice'>): Code {
    const value = this.code(node);
    const [start, end] = [from && this.code(from), to && this.code(to)];
    return (frame) => {
      const base = value(frame);
      if (base === cut) return cut;
      const [until, since] = [end?.(frame), start?.(frame)];
      frame.at = at;
      frame.budget.spend(1 + (typeof base === 'string' ? base.length / 8 : (itemsOf(base)?.length ?? 0)));
      return slice(base, since, until);
    };
  }

  #call({ callee, args, at }: NodeOf<'call'>): Code {
    const target = this.code(callee);
    const codes = args.map((arg) => this.code(arg));
    const name = callee.kind === 'identifier' ? callee.name : 'this';
    return (frame) => {
      const values = codes.map((code) => code(frame));
      const called = target(frame);
      if (called === cut) return cut;
      frame.at = at;
      if (!(called instanceof NativeFunction))
        return fail(isNil(called) ? `there is no function ${name}` : `${spell(called)} is no function`);
      frame.budget.spend(called.steps);
      return invoke(called, values, name);
    };
  }

  #builtin(node: NodeOf<'builtin'>): Code {
    const { name, at } = node;
    const args = node.args.map((arg) => this.code(arg));
    const builtin = findBuiltin(name);
    if (!builtin) return loop(node, args);
    const { run } = builtin;
    return (frame) => {
      const values = args.map((code) => code(frame));
      frame.at = at;
      frame.budget.spend(1);
      return run(values, frame);
    };
  }

  #let({ name, value, body }: NodeOf<'let'>): Code {
    const [first, rest] = [this.code(value), this.code(body)];
    return (frame) => {
      frame.variables.set(name, first(frame));
      const result = rest(frame);
      frame.variables.delete(name);
      return result;
    };
  }

  #sequence({ nodes }: NodeOf<'sequence'>): Code {
    const codes = nodes.map((node) => this.code(node));
    return (frame) => codes.map((code) => code(frame)).at(-1);
  }

  #conditional({ condition, yes, no, at }: NodeOf<'conditional'>): Code {
    const [test, whenTrue, whenFalse] = [this.code(condition), this.code(yes), this.code(no)];
    return (frame) => {
      const value = test(frame);
      frame.at = at;
      return wantBool(value, 'a condition') ? whenTrue(frame) : whenFalse(frame);
    };
  }

  #array({ nodes, at }: NodeOf<'array'>): Code {
    const codes = nodes.map((node) => this.code(node));
    return (frame) => {
      const items = codes.map((code) => code(frame));
      frame.at = at;
      frame.budget.grow(items.length);
      return items;
    };
  }

  #map({ pairs, at }: NodeOf<'map'>): Code {
    const codes = pairs.map(([key, value]) => [this.code(key), this.code(value)] as const);
    return (frame) => {
      const entries = new Map<Value, Value>();
      frame.budget.grow(codes.length);
      for (const [key, value] of codes) {
        const [name, item] = [key(frame), value(frame)];
        frame.at = at;
        // Of equal keys the first counts.
        if (!entries.has(wantText(name, 'a key'))) entries.set(name, item);
      }
      return new MapValue('string', entries);
    };
  }
}

function wantLeft(value: Value, operator: string, at: number, frame: Frame): boolean {
  if (typeof value === 'boolean') {
    frame.budget.spend(1);
    return value;
  }
  frame.at = at;
  return wantBool(value, `'${operator}'`);
}

/** A name that is not defined is nil. */
function identifier(name: string): Code {
  if (name === '$env') return ({ environment }) => new MapValue('string', environment);
  return ({ variables, environment }) => {
    const value = variables.size > 0 && variables.has(name) ? variables.get(name) : environment.get(name);
    return value ?? null;
  };
}

function pointer(name: string): Code {
  return ({ loop: state }) => {
    if (name === 'index') return BigInt(state?.index ?? 0);
    return (name === 'acc' ? state?.acc : state?.items[state.index]) ?? null;
  };
}

/** Calls with values of the declared types. nil stands for an empty string, an empty list. */
function invoke({ type, call, strict }: NativeFunction, values: readonly Value[], name: string): Value {
  if (values.length !== type.params.length) return fail(`${name} takes ${type.params.length} arguments, not ${values.length}`);
  return call(
    ...values.map((value, index) => {
      const kind = type.params[index]?.kind;
      if (kind === 'any') return value;
      if (value === null && !strict) return kind === 'string' ? '' : [];
      const list = value instanceof TypedList && value.of === 'any' ? value.items : value;
      if (kind === 'list' && Array.isArray(list)) return list;
      const fits = kind !== 'list' && kindOf(value) === kind;
      return fits ? value : fail(`${name} takes ${kind === 'string' ? 'a string' : 'another type'}, not ${spell(value)}`);
    }),
  );
}

/** Runs code. @throws ExprError with the place of what failed */
export function run(code: Code, source: string, environment: Environment, options: EvaluateOptions): Value {
  const frame = new Frame(environment, options);
  frame.budget.begin();
  try {
    return code(frame);
  } catch (error) {
    if (error instanceof ExprError) throw new ExprError(error.code, error.message, { source, at: frame.at });
    if (error instanceof RangeError)
      throw new ExprError('EXPR_LIMIT', `the expression is too large to evaluate: ${error.message}`);
    throw error;
  } finally {
    frame.budget.end();
  }
}
