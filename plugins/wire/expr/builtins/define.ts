// How a built-in is described: what it takes, what it gives, what it does.

import type { Budget } from '../limits.ts';
import { any, isAssignable, isUnknown, spellType, type Type } from '../types.ts';
import type { Value } from '../values.ts';

/** What a built-in may use beside its arguments. */
export interface Scene {
  readonly budget: Budget;
  /** Milliseconds since 1970; the same for all of one evaluation. */
  readonly now: number;
}

export interface Builtin {
  /** The type of the result, or what is wrong with the arguments. */
  readonly check: (args: readonly Type[], name: string) => Type | string;
  readonly run: (args: readonly Value[], scene: Scene) => Value;
}

interface Overload {
  readonly params: readonly Type[];
  readonly result: Type;
}

/** Takes arguments by one of several lists of types; the first that fits counts. */
export function overloads(...list: readonly (readonly [readonly Type[], Type])[]): Builtin['check'] {
  const shapes: readonly Overload[] = list.map(([params, result]) => ({ params, result }));
  return (args, name) => {
    let wrong = '';
    for (const { params, result } of shapes) {
      wrong = mismatch(params, args, name);
      if (wrong === '') return result;
    }
    return wrong;
  };
}

/** What is wrong with the arguments; nothing is ''. */
export function mismatch(params: readonly Type[], args: readonly Type[], name: string): string {
  if (params.length !== args.length) return `${name} takes ${count(params.length)}, not ${args.length}`;
  for (const [index, arg] of args.entries()) {
    const param = params[index] ?? any;
    if (arg.kind === 'nil' ? param.kind !== 'any' : !isUnknown(arg) && !isAssignable(arg, param))
      return `${name} takes ${spellType(param)}, not ${spellType(arg)}${param.kind === 'list' && arg.kind === 'list' ? "; 'in' looks into any list" : ''}`;
  }
  return '';
}

/** Takes one argument of certain kinds, or one of which nothing is known. */
export function oneOf(kinds: readonly Type['kind'][], result: Type | ((arg: Type) => Type)): Builtin['check'] {
  return (args, name) => {
    const [arg] = args;
    if (args.length !== 1 || !arg) return `${name} takes one argument, not ${args.length}`;
    if (!isUnknown(arg) && !kinds.includes(arg.kind)) return `${name} does not take ${spellType(arg)}`;
    return typeof result === 'function' ? result(arg) : result;
  };
}

export function count(number: number): string {
  return number === 0 ? 'no argument' : number === 1 ? 'one argument' : `${number} arguments`;
}
