// Filters by the rules: how they are written, what a fact is held against, whom they fit.

import { describe, expect, test } from 'vitest';
import { FactError, matchFact, parseFactString } from '../../plugins/wire/fact-string.ts';
import { buildFilter, emptyFilter, matchFilter, type NodeFacts } from '../../plugins/wire/filter.ts';

const node: NodeFacts = {
  identity: 'cache3.lan',
  agents: ['rpcutil', 'service'],
  classes: ['Base', 'role::cache'],
  facts: {
    owner: 'Ops Team',
    racks: 7,
    ratio: 2.5,
    spare: false,
    live: true,
    none: null,
    nets: ['10.0', '10.1'],
    os: { name: 'Debian', release: { major: '12' } },
    volumes: [
      { name: 'root', gb: 40 },
      { name: 'data', gb: 900 },
    ],
    'dotted.key': 'yes',
  },
};

describe('a fact filter as it is written', () => {
  test.each([
    ['owner=ops', 'owner', '==', 'ops'],
    ['racks >= 4', 'racks', '>=', '4'],
    ['racks=>4', 'racks', '>=', '4'],
    ['racks=<4', 'racks', '<=', '4'],
    ['owner=/ops/', 'owner', '=~', '/ops/'],
    ['owner!=/ops/', 'owner', '=~', '/ops/'],
    ['a=b=c', 'a=b', '==', 'c'],
    ['volumes.#(name=="data").gb>100', 'volumes.#(name=="data").gb', '>', '100'],
  ])('%s', (text, fact, operator, value) => {
    expect(parseFactString(text)).toEqual({ fact, operator, value });
  });

  test.each(['word', 'owner=', '=ops', 'a~b', 'a!b'])('%s is none', (text) => {
    expect(parseFactString(text)).toBeUndefined();
  });
});

describe('a fact that is held against a filter', () => {
  test.each([
    ['owner=ops team', true],
    ['owner=ops', false],
    ['owner=~^ops', true],
    ['owner!=somebody', true],
    ['racks=7', true],
    ['racks>6', true],
    ['racks<7', false],
    ['ratio=2.5', true],
    ['ratio>2.5', true],
    ['ratio=2', true],
    ['live=true', true],
    ['live=yes', false],
    ['spare=false', true],
    ['spare!=true', false],
    ['missing=1', false],
    ['missing!=1', false],
    ['none=null', false],
    ['os.release.major=12', true],
    ['nets.1=10.1', true],
    ['nets.#=2', true],
    ['volumes.#(name=="data").gb>100', true],
    ['dotted\\.key=yes', true],
    ['spare!=tRuE', false],
    ['racks<=9223372036854775807', true],
    ['ratio>=0x1.4p1', true],
    ['racks=7.0', true],
  ])('%s is %s', (text, expected) => {
    const filter = parseFactString(text);
    if (!filter) throw new Error(`${text} does not parse`);
    expect(matchFact(node.facts, filter)).toBe(expected);
  });

  test.each(['live>1', 'racks>many', 'os>1', 'racks<9223372036854775808', 'ratio>1.2.3', 'owner=~['])(
    '%s makes no sense',
    (text) => {
      const filter = parseFactString(text);
      if (!filter) throw new Error(`${text} does not parse`);
      expect(() => matchFact(node.facts, filter)).toThrow(FactError);
    },
  );
});

test('patterns that would take too long are refused', () => {
  const facts = { long: 'ab'.repeat(20_000) };
  const begun = performance.now();
  for (const value of ['(a?){500}a{500}(x|y)', 'a'.repeat(70_000)])
    expect(() => matchFact(facts, { fact: 'long', operator: '=~', value })).toThrow(FactError);
  expect(matchFact(facts, { fact: 'long', operator: '=~', value: '(a+)+c' })).toBe(false);
  expect(performance.now() - begun).toBeLessThan(5_000);
});

describe('a filter fits a node', () => {
  test.each([
    ['nothing asked', {}, true],
    ['its name', { identities: ['cache3.lan'] }, true],
    ['one of several names', { identities: ['other.lan', '/^cache\\d/'] }, true],
    ['all of its agents', { agents: ['rpcutil', 'service'] }, true],
    ['one agent that it lacks', { agents: ['rpcutil', 'package'] }, false],
    ['a class in another case, as a pattern', { classes: ['/^base$/'] }, true],
    ['words that are facts and classes', { combined: ['role::cache racks>3'] }, true],
    ['a comparison without sense beside one that fits', { facts: ['racks=7', 'live>1'] }, false],
    ['an expression that nobody evaluates', { compound: 'true' }, false],
  ] as const)('%s', (_what, flags, expected) => {
    expect(matchFilter(buildFilter(flags), node)).toBe(expected);
  });

  test('expressions come last, when all else fits', () => {
    const seen: unknown[] = [];
    const matchCompound = (compound: unknown) => seen.push(compound) > 0;
    expect(matchFilter(buildFilter({ classes: ['nginx'], compound: 'true' }), node, matchCompound)).toBe(false);
    expect(matchFilter(buildFilter({ agents: ['rpcutil'] }), node, matchCompound)).toBe(true);
    expect(seen).toEqual([]);
    expect(matchFilter(buildFilter({ agents: ['rpcutil'], compound: 'true' }), node, matchCompound)).toBe(true);
    expect(seen).toEqual([[[{ expr: 'true' }]]]);
  });

  test('empty lists fit everybody', () => {
    expect(matchFilter(emptyFilter, node)).toBe(true);
  });

  test('-F refuses what is no fact filter', () => {
    expect(() => buildFilter({ facts: ['word'] })).toThrow("'word' is no fact filter");
  });
});
