// What compound filters may say on a node: names that every node has, and its data plugins as functions.

import { Budget, compile, type Environment, ExprError, type Program, type Type, type Value } from './expr/index.ts';
import { identical } from './expr/operators.ts';
import { satisfies } from './expr/semver.ts';
import { any, bool, bytes, fn, list, string, strings } from './expr/types.ts';
import { NativeFunction, nilMap, spell, TypedList } from './expr/values.ts';
import { FactError, matchFact, parseFactString } from './fact-string.ts';
import { lookup } from './facts.ts';
import { matchAgent, matchClass, type NodeFacts } from './filter.ts';

/** A data plugin as expressions call it. */
export interface DataFunction {
  readonly name: string;
  readonly takesQuery: boolean;
}

/** What a data plugin tells, or null. Whoever can't tell yet throws, and evaluates again later. */
export type AskData = (source: string, query: string | undefined) => object | null;

const textFunction = (result: Type) => fn([string], result);
const semverType = fn([string, string], bool);
const includeType = fn([list, any], bool);

/** No data plugin may take these names. */
const ownNames: ReadonlyMap<string, Type> = new Map<string, Type>([
  ['agents', strings],
  ['classes', strings],
  ['facts', bytes],
  ['with', textFunction(bool)],
  ['fact', textFunction(any)],
  ['include', includeType],
  ['semver', semverType],
]);

/** `include(list, x)`: a whole number is looked for as a float, since all numbers of JSON are. */
export const include = new NativeFunction(includeType, (hay, needle) => {
  const wanted = typeof needle === 'bigint' ? Number(needle) : needle;
  const budget = new Budget();
  budget.begin();
  return (hay as readonly Value[]).some((item) => identical(item, wanted, budget));
});

export const semver = new NativeFunction(semverType, (version, constraint) => satisfies(String(version), String(constraint)));

function dataType({ takesQuery }: DataFunction): Type {
  return fn(takesQuery ? [string] : [], { kind: 'map', of: 'data', key: 'string', elem: any });
}

/** The names that are defined on a node. */
export function compoundNames(data: readonly DataFunction[]): ReadonlyMap<string, Type> {
  return new Map<string, Type>([...data.map((item) => [item.name, dataType(item)] as const), ...ownNames]);
}

/** @throws ExprError with the place of what is wrong */
export function compileCompound(source: string, data: readonly DataFunction[]): Program {
  return compile(source, { names: compoundNames(data), expectBool: true });
}

/** What the names of a node stand for. */
export function nodeEnvironment(node: NodeFacts, data: readonly DataFunction[], ask: AskData): Environment {
  const environment = new Map<string, Value>();
  for (const item of data) {
    const type = dataType(item);
    if (type.kind !== 'function') continue;
    const call = (query?: Value) => ask(item.name, item.takesQuery ? String(query) : undefined) ?? nilMap;
    environment.set(item.name, new NativeFunction(type, call));
  }
  environment.set('agents', new TypedList('string', node.agents));
  environment.set('classes', new TypedList('string', node.classes));
  environment.set('with', new NativeFunction(textFunction(bool), (text) => matchWith(String(text), node), { strict: true }));
  environment.set('fact', new NativeFunction(textFunction(any), (path) => lookup(node.facts, String(path)) ?? null));
  environment.set('include', include);
  environment.set('semver', semver);
  return environment;
}

/** The same, with the facts as the bytes of their JSON. */
export function withFactBytes(environment: Environment, { facts }: NodeFacts): Environment {
  return new Map([...environment, ['facts', new Uint8Array(Buffer.from(JSON.stringify(facts ?? {})))]]);
}

/** A fact filter if it reads like one, else a class or an agent. */
function matchWith(text: string, { facts, classes, agents }: NodeFacts): boolean {
  const filter = parseFactString(text);
  if (!filter) return text !== '' && (matchClass(text, classes) || matchAgent(text, agents));
  try {
    return matchFact(facts, filter);
  } catch (error) {
    // A comparison that makes no sense is no match.
    if (error instanceof FactError) return false;
    throw error;
  }
}

/**
 * True counts one up and false one down, and the sum has to be above zero. Entries of another form are no match.
 * @throws what the evaluation throws: one failure fails all
 */
export function countCompound(
  entries: readonly (readonly { readonly expr?: string }[])[],
  evaluate: (source: string) => boolean,
): boolean {
  let sum = 0;
  for (const entry of entries) {
    const source = entry.length === 1 ? entry[0]?.expr : undefined;
    // Whoever sends it may put anything there.
    if (typeof source !== 'string') return false;
    sum += evaluate(source) ? 1 : -1;
  }
  return sum > 0;
}

/** The result of an expression, nil being false. @throws ExprError */
export function evaluateBool(program: Program, environment: Environment, budget: Budget, now: number): boolean {
  const value = program.evaluate(environment, { now, budget });
  if (typeof value === 'boolean' || value === null) return value === true;
  throw new ExprError('EXPR_RUN', `the expression gave ${spell(value)}, and has to give true or false`);
}
