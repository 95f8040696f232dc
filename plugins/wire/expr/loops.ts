// Built-ins that evaluate a predicate for the elements of a list.

import type { NodeOf } from './ast.ts';
import { isDescending, sorted } from './builtins/lists.ts';
import type { Code, Frame, LoopState } from './evaluate.ts';
import { add, keyIn } from './operators.ts';
import { fail, itemsOf, kindOf, MapValue, nilList, sizeOf, spell, type Value, wantBool } from './values.ts';

/** @param args the list, the predicate if there is one, and what may follow */
export function loop({ name, at, threshold, throws = false }: NodeOf<'builtin'>, args: readonly Code[]): Code {
  const [over, predicate, last] = args;
  if (!over) return () => fail(`${name} takes a list`);
  const test = (frame: Frame) => wantBool((predicate ?? element)(frame), `the predicate of ${name}`);
  const value = predicate ?? element;
  const body = bodies[name];
  return (frame) => {
    const list = over(frame);
    frame.at = at;
    const state: LoopState = { items: elements(list, name, frame), index: 0, acc: null, around: frame.loop };
    frame.loop = state;
    try {
      return body?.({ frame, state, test, value, last, threshold, throws }) ?? null;
    } finally {
      frame.loop = state.around;
    }
  };
}

const element: Code = ({ loop: state }) => state?.items[state.index];

/** A string has bytes for elements where nothing more was known of it. */
function elements(value: Value, name: string, { budget }: Frame): readonly Value[] {
  if (typeof value === 'string') {
    budget.text(value.length);
    return Array.from(Buffer.from(value), BigInt);
  }
  if (kindOf(value) === 'map' && sizeOf(value) === 0) return [];
  return itemsOf(value) ?? fail(`${name} takes a list, not ${spell(value)}`);
}

interface Body {
  readonly frame: Frame;
  readonly state: LoopState;
  readonly test: (frame: Frame) => boolean;
  readonly value: Code;
  readonly last: Code | undefined;
  readonly threshold: bigint | undefined;
  readonly throws: boolean;
}

/** The places whose elements pass. */
function* passing({ frame, state, test }: Body, backwards = false): Generator<number> {
  for (let step = 0; step < state.items.length; step += 1) {
    state.index = backwards ? state.items.length - 1 - step : step;
    frame.budget.spend(1);
    if (test(frame)) yield state.index;
  }
}

function firstOf(body: Body, backwards = false): number | undefined {
  for (const index of passing(body, backwards)) return index;
  return undefined;
}

function found(body: Body, index: number | undefined): Value {
  if (index !== undefined) return body.state.items[index];
  return body.throws ? fail('no element was found') : null;
}

/** The value of the predicate at each place, from one on. */
function each({ frame, state, value }: Body, from: number, visit: (value: Value) => void): void {
  for (state.index = from; state.index < state.items.length; state.index += 1) {
    frame.budget.spend(1);
    visit(value(frame));
  }
}

const bodies: Readonly<Record<string, (body: Body) => Value>> = {
  all: (body) => firstOf({ ...body, test: (frame) => !body.test(frame) }) === undefined,
  none: (body) => firstOf(body) === undefined,
  any: (body) => firstOf(body) !== undefined,
  one: (body) => [...passing(body)].length === 1,
  find: (body) => found(body, firstOf(body)),
  findLast: (body) => found(body, firstOf(body, true)),
  findIndex: (body) => place(firstOf(body)),
  findLastIndex: (body) => place(firstOf(body, true)),
  filter: (body) => {
    const kept = Array.from(passing(body), (index) => body.state.items[index]);
    body.frame.budget.grow(kept.length);
    return kept;
  },
  count: (body) => {
    let count = 0n;
    for (const _index of passing(body)) {
      count += 1n;
      if (count === body.threshold) break;
    }
    return count;
  },
  map: (body) => {
    const values: Value[] = [];
    each(body, 0, (value) => values.push(value));
    body.frame.budget.grow(values.length);
    return values;
  },
  sum: ({ frame, ...body }) => {
    let sum: Value = 0n;
    each({ frame, ...body }, 0, (value) => {
      sum = add(value, sum, frame.budget);
    });
    return sum;
  },
  groupBy: (body) => {
    const groups = new Map<Value, Value[]>();
    each(body, 0, (value) => {
      // Times are sought among all that there are.
      if (typeof value === 'object') body.frame.budget.spend(groups.size);
      const key = keyIn(groups, value);
      const group = groups.get(key);
      if (group) group.push(body.state.items[body.state.index]);
      else groups.set(key, [body.state.items[body.state.index]]);
    });
    body.frame.budget.grow(body.state.items.length);
    return new MapValue('any', groups, { missing: nilList });
  },
  sortBy: (body) => {
    const { frame, state, last } = body;
    const descending = isDescending(last ? last(frame) : 'asc');
    const keys: Value[] = [];
    each(body, 0, (value) => keys.push(value));
    frame.budget.grow(state.items.length);
    return sorted(state.items, (_item, index) => keys[index], descending, frame.budget);
  },
  reduce: (body) => {
    const { frame, state, last } = body;
    if (!last && state.items.length === 0) return fail('reduce takes an initial value for a list without elements');
    state.acc = last ? last(frame) : state.items[0];
    each(body, last ? 0 : 1, (value) => {
      state.acc = value;
    });
    return state.acc;
  },
};

function place(index: number | undefined): Value {
  return index === undefined ? null : BigInt(index);
}
