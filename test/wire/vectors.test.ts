import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FactError, matchFact, parseFactString } from '../../plugins/wire/fact-string.ts';
import { buildFilter, emptyFilter, type Filter, matchFilter, type NodeFacts } from '../../plugins/wire/filter.ts';

// Published conformance vectors, where a checkout has them beside it. The rules have cases of their own in filter.test.ts.
const file = new URL('../../../shared/reference/vectors/filters.json', import.meta.url);
const present = existsSync(file);
interface Vectors {
  readonly servers: Readonly<Record<string, NodeFacts>>;
  readonly fact_parse: readonly { id: string; in: string; out?: object }[];
  readonly cli: readonly {
    id: string;
    args: { F: string[]; C: string[]; A: string[]; I: string[]; W: string[]; S: string };
    filter?: object;
    error?: unknown;
  }[];
  readonly fact_match: readonly {
    id: string;
    server: string;
    fact: string;
    operator: string;
    value: string;
    match?: boolean;
    error?: unknown;
  }[];
  readonly filter_match: readonly { id: string; server: string; filter: Partial<Filter>; match: boolean }[];
}
const none: Vectors = { servers: {}, fact_parse: [], cli: [], fact_match: [], filter_match: [] };
const vectors: Vectors = present ? (JSON.parse(readFileSync(file, 'utf8')) as Vectors) : none;
const nodeOf = (name: string): NodeFacts => vectors.servers[name] ?? { identity: '', agents: [], classes: [], facts: {} };

test.skipIf(present)('the published vectors are not beside this checkout', () => undefined);

describe.runIf(present)('published filter vectors', () => {
  test.each(vectors.fact_parse)('$id', ({ in: text, out }) => {
    expect(parseFactString(text)).toEqual(out);
  });

  test.each(vectors.cli)('$id', ({ args, filter, error }) => {
    const build = () =>
      buildFilter({ facts: args.F, classes: args.C, agents: args.A, identities: args.I, combined: args.W, compound: args.S });
    if (error) expect(build).toThrow();
    else expect(build()).toEqual(filter);
  });

  test.each(vectors.fact_match)('$id', ({ server, fact, operator, value, match, error }) => {
    const run = () => matchFact(nodeOf(server).facts, { fact, operator, value });
    if (error) expect(run).toThrow(FactError);
    else expect(run()).toBe(match);
  });

  // Expressions are not evaluated yet; filters without one are.
  const plain = vectors.filter_match.filter(({ filter }) => (filter.compound ?? []).length === 0);
  test.each(plain)('$id', ({ server, filter, match }) => {
    expect(
      matchFilter(
        { ...emptyFilter, ...Object.fromEntries(Object.entries(filter).filter(([, list]) => list !== null)) },
        nodeOf(server),
      ),
    ).toBe(match);
  });
});
