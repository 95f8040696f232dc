// What can be known to be wrong before an expression is evaluated, by Go's types. A node that runs the original refuses an
// expression for these as a whole, so this does too, even where the faulty part would never be reached.

import { compilePattern } from '../regexp.ts';
import type { Node, NodeOf } from './ast.ts';
import { mismatch } from './builtins/define.ts';
import { findBuiltin, isBuiltin } from './builtins/index.ts';
import { ExprError } from './errors.ts';
import { methodType } from './methods.ts';
import { booleanLoops, coalesced, loopType, operatorTypes, pointersOf } from './rules.ts';
import {
  bool,
  bytes,
  coarse,
  elemOf,
  float,
  fn,
  int,
  isAssignable,
  isComparable,
  isList,
  isNumber,
  isUnknown,
  list,
  listOf,
  map,
  nil,
  spellType,
  string,
  type Type,
  unknown,
} from './types.ts';

export interface CheckOptions {
  readonly source: string;
  /** The names that are defined, and what they are. */
  readonly names: ReadonlyMap<string, Type>;
  /** Whether the result has to be true or false. */
  readonly expectBool: boolean;
}

/** Notes the types in the tree. @throws ExprError `EXPR_TYPE` */
export function check(root: Node, options: CheckOptions): void {
  const type = new Checker(options).visit(root);
  if (options.expectBool && type.kind !== 'bool' && !isUnknown(type))
    throw new ExprError('EXPR_TYPE', `the expression gives ${spellType(type)}, and has to give true or false`);
}

interface Loop {
  readonly collection: Type;
  readonly pointers: ReadonlyMap<string, Type>;
}

class Checker {
  readonly #options: CheckOptions;
  readonly #variables: { name: string; type: Type }[] = [];
  readonly #loops: Loop[] = [];

  constructor(options: CheckOptions) {
    this.#options = options;
  }

  visit(node: Node): Type {
    // `1 < a < 3` has `a` twice.
    if (node.type) return node.type;
    const type = this.#typeOf(node);
    node.type = type;
    return type;
  }

  #typeOf(node: Node): Type {
    switch (node.kind) {
      case 'nil':
        return nil;
      case 'constant':
        return constantType(node.value);
      case 'identifier':
        return this.#variables.findLast(({ name }) => name === node.name)?.type ?? this.#named(node.name, true);
      case 'unary':
        return this.#unary(node);
      case 'binary':
        return this.#binary(node);
      case 'chain':
        return this.visit(node.node);
      case 'member':
        return this.#member(node);
      case 'slice':
        return this.#slice(node);
      case 'call':
        return this.#call(node);
      case 'builtin':
        return this.#builtin(node);
      case 'predicate':
        return this.visit(node.node);
      case 'pointer':
        return this.#pointer(node);
      case 'let':
        return this.#let(node);
      case 'sequence':
        return node.nodes.map((item) => this.visit(item)).at(-1) ?? unknown;
      case 'conditional':
        return this.#conditional(node);
      case 'array':
        return this.#array(node);
      case 'map':
        for (const [key, value] of node.pairs) {
          this.visit(key);
          this.visit(value);
        }
        return map;
    }
  }

  #named(name: string, withBuiltins: boolean): Type {
    const found = this.#options.names.get(name);
    if (found) return found;
    return withBuiltins && isBuiltin(name) ? fn([], unknown) : unknown;
  }

  #unary(node: NodeOf<'unary'>): Type {
    const type = this.visit(node.node);
    const { operator } = node;
    if (operator === '!' || operator === 'not') {
      if (type.kind === 'bool' || isUnknown(type)) return bool;
    } else if (isNumber(type)) return type;
    else if (isUnknown(type)) return unknown;
    return this.#fail(node, `'${operator}' can't take ${spellType(type)}`);
  }

  #binary(node: NodeOf<'binary'>): Type {
    const [left, right] = [this.visit(node.left), this.visit(node.right)];
    const { operator } = node;
    if (operator === 'matches') this.#pattern(node.right);
    if (operator === 'in') return this.#in(node, left, right);
    const type = operator === '??' ? coalesced(left, right) : operatorTypes.get(operator)?.(left, right);
    return type ?? this.#fail(node, `'${operator}' can't take ${spellType(left)} and ${spellType(right)}`);
  }

  #pattern(node: Node): void {
    if (node.kind === 'constant' && typeof node.value === 'string' && !compilePattern(node.value))
      this.#fail(node, `'${node.value.slice(0, 80)}' is no valid pattern`);
  }

  #in(node: NodeOf<'binary'>, needle: Type, hay: Type): Type {
    if (hay.kind === 'time' && (needle.kind === 'string' || isUnknown(needle))) return bool;
    if (hay.kind === 'map') {
      if (isUnknown(needle) || hay.key === 'any' || needle.kind === 'string') return bool;
      return this.#fail(node, `the keys of this object are strings, not ${spellType(needle)}`);
    }
    if (isList(hay)) {
      if (isComparable(needle, elemOf(hay))) return bool;
      return this.#fail(node, `the list holds ${spellType(elemOf(hay))}, which is never equal to ${spellType(needle)}`);
    }
    if (isUnknown(hay) || (isUnknown(needle) && hay.kind === 'string')) return bool;
    return this.#fail(node, `'in' looks into lists and objects, not into ${spellType(hay)}; 'contains' looks into strings`);
  }

  #member(node: NodeOf<'member'>): Type {
    const name = node.property.kind === 'constant' && typeof node.property.value === 'string' ? node.property.value : undefined;
    if (node.node.kind === 'identifier' && node.node.name === '$env')
      return name === undefined ? unknown : this.#named(name, false);
    const [base, property] = [this.visit(node.node), this.visit(node.property)];
    if (isUnknown(base)) return unknown;
    const method = name === undefined ? undefined : methodType(base, name);
    if (method) return method;
    if (base.kind === 'map') {
      if (base.key === 'any' || property.kind === 'string' || isUnknown(property)) return base.elem;
      return this.#fail(node.property, `the keys of this object are strings, not ${spellType(property)}`);
    }
    if (isList(base)) {
      if (property.kind === 'int' || isUnknown(property)) return elemOf(base);
      return this.#fail(node.property, `elements of a list are selected by whole numbers, not by ${spellType(property)}`);
    }
    return this.#fail(node, `${spellType(base)} has no ${name === undefined ? 'elements' : `field ${name}`}`);
  }

  #slice(node: NodeOf<'slice'>): Type {
    const type = this.visit(node.node);
    if (isUnknown(type)) return unknown;
    if (type.kind !== 'string' && !isList(type)) return this.#fail(node, `${spellType(type)} can't be sliced`);
    for (const bound of [node.from, node.to]) {
      if (!bound) continue;
      const of = this.visit(bound);
      if (of.kind !== 'int' && !isUnknown(of)) this.#fail(bound, `a slice is bounded by whole numbers, not by ${spellType(of)}`);
    }
    return type;
  }

  #call(node: NodeOf<'call'>): Type {
    const { callee, args } = node;
    if (callee.kind === 'identifier' && callee.name === '$env') this.#fail(node, '$env is no function');
    const type = this.visit(callee);
    // What a function that is not known takes is not known either.
    if (isUnknown(type)) return unknown;
    const name = callee.kind === 'identifier' ? callee.name : calleeName(callee);
    if (type.kind !== 'function') return this.#fail(node, `${name} is ${spellType(type)} and no function`);
    const types = args.map((arg) => this.visit(arg));
    const wrong = mismatch(type.params, types, name);
    return wrong === '' ? type.result : this.#fail(node, wrong);
  }

  #builtin(node: NodeOf<'builtin'>): Type {
    const { name, args } = node;
    const builtin = findBuiltin(name);
    if (!builtin) return this.#loop(node);
    const isEnvironment = name === 'get' && args[0]?.kind === 'identifier' && args[0].name === '$env';
    const types = args.map((arg) => this.visit(arg));
    if (isEnvironment && args.length === 2) return unknown;
    const type = builtin.check(types, name);
    return typeof type === 'string' ? this.#fail(node, type) : type;
  }

  #loop(node: NodeOf<'builtin'>): Type {
    const { name, args } = node;
    const [over, predicate, last] = args;
    const collection = over ? this.visit(over) : unknown;
    if (over && !isList(collection) && !isUnknown(collection))
      this.#fail(over, `${name} takes a list, not ${spellType(collection)}`);
    const elem = isUnknown(collection) ? unknown : elemOf(collection);
    if (!predicate) return name === 'count' ? int : elem;
    const result = this.#inLoop({ collection, pointers: pointersOf(name) }, predicate);
    if (result.kind === 'nil') this.#fail(predicate, `the predicate of ${name} gives nil`);
    if (booleanLoops.has(name) && result.kind !== 'bool' && !isUnknown(result))
      this.#fail(predicate, `the predicate of ${name} has to give true or false, not ${spellType(result)}`);
    if (last) {
      const order = this.visit(last);
      if (name === 'sortBy' && order.kind !== 'string' && !isUnknown(order))
        this.#fail(last, `the order of sortBy is a string, not ${spellType(order)}`);
    }
    return loopType(name, collection, elem, result);
  }

  #inLoop(loop: Loop, predicate: Node): Type {
    this.#loops.push(loop);
    const type = this.visit(predicate);
    this.#loops.pop();
    return type;
  }

  #pointer(node: NodeOf<'pointer'>): Type {
    const loop = this.#loops.at(-1);
    if (!loop) return this.#fail(node, "'#' stands for an element, and there is no list around it");
    if (node.name === '') return isUnknown(loop.collection) ? unknown : elemOf(loop.collection);
    return loop.pointers.get(node.name) ?? this.#fail(node, `there is no #${node.name} here`);
  }

  #let(node: NodeOf<'let'>): Type {
    const { name } = node;
    if (this.#options.names.has(name) || isBuiltin(name) || this.#variables.some((variable) => variable.name === name))
      this.#fail(node, `'${name}' is taken; choose another name`);
    this.#variables.push({ name, type: this.visit(node.value) });
    const type = this.visit(node.body);
    this.#variables.pop();
    return type;
  }

  #conditional(node: NodeOf<'conditional'>): Type {
    const condition = this.visit(node.condition);
    if (condition.kind !== 'bool' && !isUnknown(condition))
      this.#fail(node.condition, `a condition is true or false, not ${spellType(condition)}`);
    const [yes, no] = [this.visit(node.yes), this.visit(node.no)];
    if (yes.kind === 'nil') return no;
    if (no.kind === 'nil') return yes;
    if (!isAssignable(yes, no)) return unknown;
    if (isList(yes) && isList(no) && !(isAssignable(elemOf(yes), elemOf(no)) && isAssignable(elemOf(no), elemOf(yes))))
      return list;
    return yes;
  }

  #array(node: NodeOf<'array'>): Type {
    const types = node.nodes.map((item) => this.visit(item));
    const isAlike = types.every((type, index) => index === 0 || coarse(type) === coarse(types[index - 1] ?? type));
    return isAlike ? listOf(types.at(-1) ?? unknown) : list;
  }

  #fail(node: Node, message: string): never {
    throw new ExprError('EXPR_TYPE', message, { source: this.#options.source, at: node.at });
  }
}

function constantType(value: NodeOf<'constant'>['value']): Type {
  switch (typeof value) {
    case 'boolean':
      return bool;
    case 'bigint':
      return int;
    case 'number':
      return float;
    case 'string':
      return string;
    default:
      return bytes;
  }
}

function calleeName(callee: Node): string {
  return callee.kind === 'member' && callee.property.kind === 'constant' ? String(callee.property.value) : 'this';
}
