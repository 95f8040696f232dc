import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FactError, matchFact, parseFactString } from '../../plugins/wire/fact-string.ts';
import { buildFilter, type Filter, matchFilter } from '../../plugins/wire/filter.ts';

// Published conformance vectors, where a checkout has them beside it. The rules have cases of their own in filter.test.ts.
const file = new URL('../../../shared/reference/vectors/filters.json', import.meta.url);
const present = existsSync(file);
const vectors = present ? JSON.parse(readFileSync(file, 'utf8')) : { servers: {}, fact_parse: [], cli: [], fact_match: [], filter_match: [] };

describe.runIf(present)('published filter vectors', () => {
  test.each(vectors.fact_parse.map((v: { id: string }) => [v.id, v]))('%s', (_id, vector) => {
    const { in: text, out } = vector as { in: string; out?: object };
    expect(parseFactString(text)).toEqual(out);
  });

  test.each(vectors.cli.map((v: { id: string }) => [v.id, v]))('%s', (_id, vector) => {
    const { args, filter, error } = vector as { args: Record<string, string[]> & { S: string }; filter?: object; error?: unknown };
    const build = () => buildFilter({ facts: args.F ?? [], classes: args.C ?? [], agents: args.A ?? [], identities: args.I ?? [], combined: args.W ?? [], compound: args.S });
    if (error) expect(build).toThrow();
    else expect(build()).toEqual(filter);
  });

  test.each(vectors.fact_match.map((v: { id: string }) => [v.id, v]))('%s', (_id, vector) => {
    const { server, fact, operator, value, match, error } = vector as { server: string; fact: string; operator: string; value: string; match: boolean; error?: unknown };
    const run = () => matchFact(vectors.servers[server].facts, { fact, operator, value });
    if (error) expect(run).toThrow(FactError);
    else expect(run()).toBe(match);
  });

  const plain = vectors.filter_match.filter((v: { filter: Filter }) => (v.filter.compound ?? []).length === 0);
  test.each(plain.map((v: { id: string }) => [v.id, v]))('%s', (_id, vector) => {
    const { server, filter, match } = vector as { server: string; filter: Partial<Filter>; match: boolean };
    const node = vectors.servers[server];
    const whole = Object.fromEntries(['fact', 'cf_class', 'agent', 'identity', 'compound'].map((key) => [key, filter[key as keyof Filter] ?? []])) as unknown as Filter;
    expect(matchFilter(whole, node)).toBe(match);
  });
});
