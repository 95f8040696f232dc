import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { InventoryFile } from '#schemas/choria/discovery/v1/inventory_file';
import { findNodes } from '../../plugins/discovery/inventory.ts';
import { compileCompound, countCompound, evaluateBool, nodeEnvironment, withFactBytes } from '../../plugins/wire/compound.ts';
import { Budget, ExprError } from '../../plugins/wire/expr/index.ts';
import { FactError, matchFact, parseFactString } from '../../plugins/wire/fact-string.ts';
import { buildFilter, emptyFilter, type Filter, matchFilter, type NodeFacts } from '../../plugins/wire/filter.ts';
import { compileReplyFilter, type FilteredReply } from '../../plugins/wire/reply-filter.ts';

// Published conformance vectors, where a checkout has them beside it. The rules have cases of their own in filter.test.ts.
const file = new URL('../../../shared/reference/vectors/filters.json', import.meta.url);
const present = existsSync(file);
interface Source {
  readonly takes_query: boolean;
  readonly results: Readonly<Record<string, object>>;
}
type Server = NodeFacts & { readonly data: Readonly<Record<string, Source>> };
interface Vectors {
  readonly servers: Readonly<Record<string, Server>>;
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
  readonly filter_match: readonly { id: string; server: string; filter: Partial<Filter>; match: boolean; error?: boolean }[];
  readonly expr: readonly { id: string; server: string; expr: string; match: boolean; error?: boolean }[];
  readonly inventory: {
    readonly file: InventoryFile;
    readonly cases: readonly { id: string; collective: string; filter: Filter; nodes?: string[]; error?: boolean }[];
  };
  readonly reply_filter: readonly { id: string; reply: Partial<FilteredReply>; expr: string; match: boolean; error?: boolean }[];
}
const none: Vectors = {
  servers: {},
  fact_parse: [],
  cli: [],
  fact_match: [],
  filter_match: [],
  expr: [],
  inventory: { file: { $schema: 'https://choria.io/schemas/choria/discovery/v1/inventory_file.json', nodes: [] }, cases: [] },
  reply_filter: [],
};
const vectors: Vectors = present ? (JSON.parse(readFileSync(file, 'utf8')) as Vectors) : none;
const nodeOf = (name: string): Server => vectors.servers[name] ?? { identity: '', agents: [], classes: [], facts: {}, data: {} };

/** Holds expressions against a server, whose data plugins tell what the vectors say. @throws ExprError */
function matchCompound(server: Server, compound: Filter['compound']): boolean {
  const data = Object.entries(server.data).map(([name, { takes_query }]) => ({ name, takesQuery: takes_query }));
  const environment = nodeEnvironment(server, data, (name, query = '') => server.data[name]?.results[query] ?? null);
  return countCompound(compound, (source) =>
    evaluateBool(compileCompound(source, data), withFactBytes(environment, server), new Budget(), Date.now()),
  );
}

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

  test.each(vectors.filter_match)('$id', ({ server, filter, match, error }) => {
    const node = nodeOf(server);
    const given = { ...emptyFilter, ...Object.fromEntries(Object.entries(filter).filter(([, list]) => list !== null)) };
    const run = () => matchFilter(given, node, (compound) => matchCompound(node, compound));
    if (error) expect(run).toThrow(ExprError);
    else expect(run()).toBe(match);
  });

  test.each(vectors.expr)('$id', ({ server, expr, match, error }) => {
    const run = () => matchCompound(nodeOf(server), [[{ expr }]]);
    if (error) expect(run).toThrow(ExprError);
    else expect(run()).toBe(match);
  });

  test.each(vectors.reply_filter)('$id', ({ reply, expr, match, error }) => {
    const whole = { sender: '', statuscode: 0, statusmsg: '', data: {}, time: new Date(), ...reply };
    const run = () => compileReplyFilter(expr)(whole);
    if (error) expect(run).toThrow(ExprError);
    else expect(run()).toBe(match);
  });

  test.each(vectors.inventory.cases)('$id', ({ collective, filter, nodes, error }) => {
    const find = () => findNodes(vectors.inventory.file, { filter, collective });
    if (error) expect(find).toThrow();
    else expect(find()).toEqual(nodes);
  });
});
