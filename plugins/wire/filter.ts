// Filters: who is meant. Their form on the wire, how they are built, and whether a node fits.

import { FactError, type FactFilter, factPattern, matchFact, parseFactString } from './fact-string.ts';
import { type Compile, compilePattern, patternProblem, patternSource } from './regexp.ts';

export type { FactFilter };

export interface Filter {
  readonly fact: readonly FactFilter[];
  readonly cf_class: readonly string[];
  readonly agent?: readonly string[];
  readonly identity: readonly string[];
  readonly compound: readonly (readonly { readonly expr?: string }[])[];
}

export const emptyFilter: Filter = { fact: [], cf_class: [], agent: [], identity: [], compound: [] };

/** What a filter is held against. */
export interface NodeFacts {
  readonly identity: string;
  readonly agents: readonly string[];
  readonly classes: readonly string[];
  readonly facts: unknown;
}

/** What people gave as flags. */
export interface FilterFlags {
  readonly facts?: readonly string[];
  readonly classes?: readonly string[];
  readonly agents?: readonly string[];
  readonly identities?: readonly string[];
  /** Words of `-W`: facts where they parse as such, else classes. */
  readonly combined?: readonly string[];
  readonly compound?: string;
}

export class FilterError extends Error {
  override readonly name = 'FilterError';
  readonly code = 'FILTER';
}

/** @throws FilterError for a fact filter that can't be read, and for patterns that nodes would be silent about */
export function buildFilter(flags: FilterFlags): Filter {
  const facts = (flags.facts ?? []).filter(isNotEmpty).map((text) => {
    const fact = parseFactString(text);
    if (!fact) throw new FilterError(`'${text}' is no fact filter; write it as name=value, with one of = != =~ < > <= >=`);
    return fact;
  });
  const classes = [...(flags.classes ?? [])];
  for (const word of (flags.combined ?? []).flatMap((text) => text.split(' '))) {
    const fact = parseFactString(word);
    if (fact) facts.push(fact);
    else classes.push(word);
  }
  for (const { operator, value } of facts) if (operator === '=~') checkPattern(factPattern(value), value);
  for (const word of [...classes, ...(flags.agents ?? []), ...(flags.identities ?? [])]) {
    const source = patternSource(word);
    if (source !== undefined) checkPattern(source, word);
  }
  return {
    fact: facts,
    cf_class: unique(classes),
    agent: unique(flags.agents ?? []),
    identity: unique(flags.identities ?? []),
    compound: flags.compound ? [[{ expr: flags.compound }]] : [],
  };
}

/** What a filter may weigh. Names of 5,000 nodes fit in, and it is far from what brokers refuse. */
export const maxFilterCharacters = 256 * 1024;

/** Characters of all that a filter says. */
export function weighFilter({ fact, cf_class, agent = [], identity, compound }: Filter): number {
  let sum = 0;
  for (const item of fact) sum += item.fact.length + item.operator.length + item.value.length;
  for (const words of [cf_class, agent, identity]) for (const word of words) sum += word.length;
  // Whoever sends it may put anything there.
  for (const entry of compound) for (const { expr } of entry) sum += typeof expr === 'string' ? expr.length : 0;
  return sum;
}

function checkPattern(source: string, written: string): void {
  const problem = patternProblem(source);
  if (problem !== undefined) throw new FilterError(`'${written.slice(0, 60)}' is no pattern that nodes can use: ${problem}`);
}

/** The filter with one more agent. */
export function withAgent(filter: Filter, agent: string): Filter {
  return { ...filter, agent: unique([...(filter.agent ?? []), agent]) };
}

/**
 * The filter without the agent that the request is for anyway. A node that was addressed by its name and lacks the agent says
 * so, while one that was reached by a broadcast is silent.
 */
export function withoutAgent(filter: Filter, agent: string): Filter {
  return { ...filter, agent: (filter.agent ?? []).filter((name) => name !== agent) };
}

export function isEmptyFilter(filter: Filter): boolean {
  return (
    filter.fact.length +
      filter.cf_class.length +
      (filter.agent?.length ?? 0) +
      filter.identity.length +
      filter.compound.length ===
    0
  );
}

/**
 * Whether a node fits: identity, agent, class, fact, expressions in this order, all that are given.
 * @param matchCompound holds expressions against the node; it is called last, and only if there are any
 * @param compile compiles patterns
 */
export function matchFilter(filter: Filter, node: NodeFacts): boolean;
export function matchFilter<T>(
  filter: Filter,
  node: NodeFacts,
  matchCompound: (compound: Filter['compound']) => T,
  compile?: Compile,
): boolean | T;
export function matchFilter<T>(
  filter: Filter,
  node: NodeFacts,
  matchCompound?: (compound: Filter['compound']) => T,
  compile: Compile = compilePattern,
): boolean | T {
  if (filter.identity.length > 0 && !filter.identity.some((wanted) => matchIdentity(wanted, node.identity, compile)))
    return false;
  if (!(filter.agent ?? []).every((wanted) => matchAgent(wanted, node.agents, compile))) return false;
  if (!filter.cf_class.every((wanted) => matchClass(wanted, node.classes, compile))) return false;
  if (!matchFacts(filter.fact, node.facts, compile)) return false;
  if (filter.compound.length === 0) return true;
  return matchCompound?.(filter.compound) ?? false;
}

/** Whether a node is meant: its name, or a pattern. */
export function matchIdentity(wanted: string, identity: string, compile: Compile = compilePattern): boolean {
  return matchWord(wanted, identity, compile);
}

/** Whether the node has an agent: its name, or a pattern. */
export function matchAgent(wanted: string, agents: readonly string[], compile: Compile = compilePattern): boolean {
  return agents.some((agent) => matchWord(wanted, agent, compile));
}

/** Whether the node has a class: lower-cased filter against the name as it is, or a pattern without regard to case. */
export function matchClass(wanted: string, classes: readonly string[], compile: Compile = compilePattern): boolean {
  const source = patternSource(wanted);
  if (source === undefined) return classes.includes(wanted.toLowerCase());
  const pattern = compile(source, { ignoreCase: true });
  return pattern !== undefined && classes.some((name) => pattern.test(name));
}

function matchWord(wanted: string, actual: string, compile: Compile): boolean {
  const source = patternSource(wanted);
  return source === undefined ? wanted === actual : (compile(source)?.test(actual) ?? false);
}

/** Whether the facts fit all filters. */
export function matchFacts(filters: readonly FactFilter[], facts: unknown, compile: Compile = compilePattern): boolean {
  try {
    return filters.every((filter) => matchFact(facts, filter, compile));
  } catch (error) {
    // One comparison that makes no sense fails the whole group.
    if (error instanceof FactError) return false;
    throw error;
  }
}

function unique(items: readonly string[]): string[] {
  return [...new Set(items.filter(isNotEmpty))];
}

function isNotEmpty(text: string): boolean {
  return text !== '';
}
