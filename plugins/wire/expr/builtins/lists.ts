// Built-ins for lists and objects. Those that take a predicate are evaluated in `loops.ts`.

import { type Budget, checkDepth } from '../limits.ts';
import { compare, equal, fetch, find, keyIn } from '../operators.ts';
import { any, anyMap, elemOf, int, isList, isUnknown, list, spellType, string, strings, type Type } from '../types.ts';
import {
  Duration,
  entriesOf,
  fail,
  isNil,
  itemsOf,
  kindOf,
  MapValue,
  NamedNumber,
  nilList,
  sizeOf,
  spell,
  TypedList,
  toIndex,
  type Value,
  wantItems,
} from '../values.ts';
import { type Builtin, oneOf, overloads } from './define.ts';

const lists: readonly Type['kind'][] = ['list', 'bytes'];
/** What is declared of the elements, without what else is known. */
const declaredElem = (type: Type): Type =>
  type.kind === 'list' && type.of === 'any' ? any : isUnknown(type) ? any : elemOf(type);

export const collections: Readonly<Record<string, Builtin>> = {
  len: {
    check: oneOf(['list', 'bytes', 'map', 'string'], int),
    run: ([value], { budget }) => BigInt(length(value, budget)),
  },
  first: { check: oneOf(lists, declaredElem), run: ([value]) => atOrNil(value, 0n) },
  last: { check: oneOf(lists, declaredElem), run: ([value]) => atOrNil(value, -1n) },
  get: { check: checkGet, run: ([from, at]) => get(from, at) },
  take: {
    check: (args, name) => {
      const [from, count] = args;
      if (args.length !== 2 || !from || !count) return `${name} takes 2 arguments, not ${args.length}`;
      if (!isUnknown(from) && !isList(from)) return `${name} takes a list, not ${spellType(from)}`;
      if (!isUnknown(count) && !['int', 'duration', 'month', 'weekday'].includes(count.kind))
        return `${name} takes a whole number, not ${spellType(count)}`;
      return from.kind === 'list' && from.of === 'any' ? list : from;
    },
    run: ([value, count]) => {
      const items = wantItems(value, 'take');
      const number = count instanceof Duration ? count.nanoseconds : count instanceof NamedNumber ? count.value : count;
      if (typeof number !== 'bigint') return fail(`take takes a whole number, not ${spell(count)}`);
      if (number < 0n) return fail('take takes no negative number');
      return like(value, items.slice(0, number > BigInt(items.length) ? items.length : Number(number)));
    },
  },
  keys: {
    check: oneOf(['map'], list),
    run: ([value], { budget }) => entries(value, 'keys', budget).map(([key]) => key),
  },
  values: {
    check: oneOf(['map'], list),
    run: ([value], { budget }) => entries(value, 'values', budget).map(([, item]) => item),
  },
  toPairs: {
    check: oneOf(['map'], list),
    run: ([value], { budget }) => new TypedList('pair', entries(value, 'toPairs', budget)),
  },
  fromPairs: {
    check: oneOf(lists, anyMap),
    run: ([value], { budget }) => {
      const pairs = wantItems(value, 'fromPairs');
      budget.grow(pairs.length);
      const entries = new Map<Value, Value>();
      for (const pair of pairs) {
        const items = itemsOf(pair);
        if (items?.length !== 2) return fail('fromPairs takes a list of pairs, each with a key and a value');
        if (typeof items[0] === 'object') budget.spend(entries.size);
        entries.set(keyIn(entries, items[0]), items[1]);
      }
      return new MapValue('any', entries);
    },
  },
  reverse: {
    check: oneOf(lists, list),
    run: ([value], { budget }) => {
      const items = wantItems(value, 'reverse');
      budget.grow(items.length);
      return [...items].reverse();
    },
  },
  uniq: {
    check: oneOf(lists, list),
    run: ([value], { budget }) => uniq(wantItems(value, 'uniq'), budget),
  },
  concat: {
    check: (args, name) => {
      if (args.length === 0) return `${name} takes at least one argument`;
      const wrong = args.find((arg) => !isUnknown(arg) && !isList(arg));
      return wrong ? `${name} takes lists, not ${spellType(wrong)}` : list;
    },
    run: (args, { budget }) => {
      const parts = args.map((arg) => wantItems(arg, 'concat'));
      budget.grow(parts.reduce((sum, part) => sum + part.length, 0));
      const all = parts.flat(1);
      return all.length === 0 ? nilList : all;
    },
  },
  flatten: {
    check: oneOf(lists, list),
    run: ([value], { budget }) => {
      const flat: Value[] = [];
      flatten(wantItems(value, 'flatten'), flat, budget, 0);
      return flat;
    },
  },
  sort: {
    check: overloads(
      [[list, string], list],
      [[{ kind: 'list', of: 'int', elem: int }, string], list],
      [[strings, string], list],
      [[list], list],
      [[strings], list],
      [[{ kind: 'list', of: 'int', elem: int }], list],
    ),
    run: ([value, order], { budget }) => {
      const descending = isDescending(order === undefined ? 'asc' : order);
      if (kindOf(value) !== 'list' || (value instanceof TypedList && value.of === 'pair')) return nilList;
      const items = itemsOf(value) ?? [];
      budget.grow(items.length);
      return sorted(items, (item) => item, descending, budget);
    },
  },
};

/** `sort` and `sortBy`. */
export function sorted(
  items: readonly Value[],
  key: (item: Value, index: number) => Value,
  descending: boolean,
  budget: Budget,
): Value[] {
  const keyed = items.map((item, index) => ({ item, key: key(item, index) }));
  return keyed
    .sort((a, b) => {
      budget.spend(1);
      const order = compare(a.key, b.key);
      return descending ? -order : order;
    })
    .map(({ item }) => item);
}

export function isDescending(order: Value): boolean {
  if (order !== 'asc' && order !== 'desc') return fail("the order is 'asc' or 'desc'");
  return order === 'desc';
}

function length(value: Value, budget: Budget): number {
  if (typeof value === 'string') {
    budget.text(value.length);
    return [...value].length;
  }
  if (kindOf(value) === 'map') return sizeOf(value);
  return value instanceof Uint8Array ? value.length : wantItems(value, 'len').length;
}

function atOrNil(value: Value, index: bigint): Value {
  if (typeof value !== 'string' && !itemsOf(value))
    return kindOf(value) === 'map' && value instanceof MapValue && value.key === 'any' ? (find(value, index) ?? null) : null;
  const size = typeof value === 'string' ? value.length : (itemsOf(value)?.length ?? 0);
  return size === 0 ? null : fetch(value, index);
}

function checkGet(args: readonly Type[], name: string): Type | string {
  const [from, at] = args;
  if (args.length !== 2 || !from || !at) return `${name} takes 2 arguments, not ${args.length}`;
  if (isUnknown(from)) return { kind: 'unknown' };
  if (isList(from))
    return at.kind === 'int' || isUnknown(at) ? elemOf(from) : `${name} takes a whole number for lists, not ${spellType(at)}`;
  if (from.kind !== 'map') return `${name} does not take ${spellType(from)}`;
  if (from.key === 'any' || at.kind === 'string' || isUnknown(at)) return from.elem;
  return `${name} takes a string for objects, not ${spellType(at)}`;
}

/** Like an index, but what is not there is nil. */
function get(from: Value, at: Value): Value {
  if (isNil(from)) return null;
  if (kindOf(from) === 'map') return find(from, at) ?? null;
  const size = typeof from === 'string' ? Buffer.byteLength(from) : itemsOf(from)?.length;
  if (size === undefined) return null;
  const index = toIndex(at);
  return index >= size || index < -size ? null : fetch(from, at);
}

function entries(value: Value, name: string, budget: Budget): [Value, Value][] {
  const found = entriesOf(value) ?? fail(`${name} takes an object, not ${spell(value)}`);
  budget.grow(found.length);
  return found;
}

function like(value: Value, items: readonly Value[]): Value {
  return value instanceof TypedList ? new TypedList(value.of, items, value.isNil) : items;
}

function uniq(items: readonly Value[], budget: Budget): Value[] {
  budget.grow(items.length);
  const [first] = items;
  // Values of one plain type are equal if they are the same; others are compared each with each.
  if (typeof first !== 'object' && items.every((item) => typeof item === typeof first && !Number.isNaN(item)))
    return [...new Set(items)];
  const found: Value[] = [];
  for (const item of items) {
    budget.spend(found.length);
    if (!found.some((other) => equal(item, other, budget))) found.push(item);
  }
  return found;
}

function flatten(items: readonly Value[], into: Value[], budget: Budget, depth: number): void {
  checkDepth(depth);
  for (const item of items) {
    budget.grow(1);
    const nested = itemsOf(item);
    if (nested) flatten(nested, into, budget, depth + 1);
    else into.push(item);
  }
}
