// Types of operators and loops by the types of their operands.

import {
  any,
  bool,
  duration,
  float,
  int,
  isAssignable,
  isComparable,
  isNumber,
  isUnknown,
  list,
  listOf,
  string,
  type Type,
  time,
  unknown,
} from './types.ts';

export function coalesced(left: Type, right: Type): Type {
  if (left.kind === 'nil') return right;
  if (right.kind === 'nil') return left;
  return isAssignable(right, left) ? left : unknown;
}

/** Whether what is not known may still fit: one of the two is unknown, the other unknown or of these kinds. */
function mayFit(left: Type, right: Type, kinds: readonly Type['kind'][]): boolean {
  const [a, b] = [isUnknown(left), isUnknown(right)];
  return (a && b) || (a && kinds.includes(right.kind)) || (b && kinds.includes(left.kind));
}

const both = (left: Type, right: Type, kind: Type['kind']) => left.kind === kind && right.kind === kind;
const numeric = (left: Type, right: Type) => isNumber(left) && isNumber(right);
const promoted = (left: Type, right: Type) => (both(left, right, 'int') ? int : float);

type Rule = (left: Type, right: Type) => Type | undefined;

const equality: Rule = (left, right) => (isComparable(left, right) ? bool : undefined);
const logic: Rule = (left, right) => (both(left, right, 'bool') || mayFit(left, right, ['bool']) ? bool : undefined);
const order: Rule = (left, right) =>
  numeric(left, right) ||
  both(left, right, 'string') ||
  both(left, right, 'time') ||
  both(left, right, 'duration') ||
  mayFit(left, right, ['int', 'float', 'string', 'time', 'duration'])
    ? bool
    : undefined;
const textual: Rule = (left, right) => (both(left, right, 'string') || mayFit(left, right, ['string']) ? bool : undefined);
const quotient: Rule = (left, right) => (numeric(left, right) || mayFit(left, right, ['int', 'float']) ? float : undefined);

export const operatorTypes: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['==', equality],
  ['!=', equality],
  ['or', logic],
  ['||', logic],
  ['and', logic],
  ['&&', logic],
  ['<', order],
  ['>', order],
  ['<=', order],
  ['>=', order],
  ['contains', textual],
  ['startsWith', textual],
  ['endsWith', textual],
  ['matches', (left, right) => (left.kind === 'bytes' && right.kind === 'string' ? bool : textual(left, right))],
  ['/', quotient],
  ['**', quotient],
  ['^', quotient],
  ['%', (left, right) => (both(left, right, 'int') || mayFit(left, right, ['int']) ? int : undefined)],
  ['..', (left, right) => (both(left, right, 'int') || mayFit(left, right, ['int']) ? listOf(int) : undefined)],
  [
    '+',
    (left, right) => {
      if (numeric(left, right)) return promoted(left, right);
      if (both(left, right, 'string')) return string;
      if (both(left, right, 'duration')) return duration;
      if ((left.kind === 'time' && right.kind === 'duration') || (left.kind === 'duration' && right.kind === 'time')) return time;
      return mayFit(left, right, ['int', 'float', 'string', 'time', 'duration']) ? unknown : undefined;
    },
  ],
  [
    '-',
    (left, right) => {
      if (numeric(left, right)) return promoted(left, right);
      if (both(left, right, 'time') || both(left, right, 'duration')) return duration;
      if (left.kind === 'time' && right.kind === 'duration') return time;
      return mayFit(left, right, ['int', 'float', 'time', 'duration']) ? unknown : undefined;
    },
  ],
  [
    '*',
    (left, right) => {
      if (numeric(left, right)) return promoted(left, right);
      const lengths = [left, right].filter(({ kind }) => kind === 'duration').length;
      if (lengths === 2 || (lengths === 1 && (isNumber(left) || isNumber(right)))) return duration;
      return mayFit(left, right, ['int', 'float', 'duration']) ? unknown : undefined;
    },
  ],
]);

/** Loops whose predicate has to give true or false. */
export const booleanLoops: ReadonlySet<string> = new Set(
  'all none any one filter count find findLast findIndex findLastIndex'.split(' '),
);

export function pointersOf(name: string): ReadonlyMap<string, Type> {
  if (name === 'map') return new Map([['index', int]]);
  return name === 'reduce'
    ? new Map([
        ['index', int],
        ['acc', unknown],
      ])
    : new Map();
}

export function loopType(name: string, collection: Type, elem: Type, result: Type): Type {
  switch (name) {
    case 'filter':
      return isUnknown(collection) ? list : listOf(elem);
    case 'map':
      return listOf(result);
    case 'count':
    case 'findIndex':
    case 'findLastIndex':
      return int;
    case 'find':
    case 'findLast':
      return elem;
    case 'sum':
    case 'reduce':
      return result.kind === 'unknown' && name === 'sum' ? any : result;
    case 'groupBy':
      return { kind: 'map', of: 'map[any][]any', key: 'any', elem: list };
    case 'sortBy':
      return collection;
    default:
      return bool;
  }
}
