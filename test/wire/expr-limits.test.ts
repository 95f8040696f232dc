// Expressions that are meant to hurt. Whatever they say, a node goes on.

import { describe, expect, test, vi } from 'vitest';
import { compileCompound, evaluateBool, nodeEnvironment } from '../../plugins/wire/compound.ts';
import { Budget, ExprError } from '../../plugins/wire/expr/index.ts';
import type { NodeFacts } from '../../plugins/wire/filter.ts';

const node: NodeFacts = {
  identity: 'cache3.lan',
  agents: ['rpcutil'],
  classes: ['base'],
  facts: { many: Array.from({ length: 2_000 }, (_none, index) => index), long: 'ab'.repeat(20_000), own: { a: 1 } },
};
const environment = nodeEnvironment(node, [], () => null);
/** Room for slow machines; an expression may work for a quarter of a second. */
const soonMs = 5_000;

function run(source: string): boolean | string {
  const begun = performance.now();
  try {
    return evaluateBool(compileCompound(source, []), environment, new Budget(), Date.now());
  } catch (error) {
    if (error instanceof ExprError) return error.code;
    throw error;
  } finally {
    expect(performance.now() - begun).toBeLessThan(soonMs);
  }
}

const nested = (open: string, inner: string, close: string, depth: number) => open.repeat(depth) + inner + close.repeat(depth);

describe('too much is refused', () => {
  test.each([
    ['a long source', `true or ${'x'.repeat(20_000)}`],
    ['parentheses', nested('(', 'true', ')', 5_000)],
    ['lists', nested('[', '1', ']', 5_000)],
    ['operators in front', `${'!'.repeat(3_000)}true`],
    ['a long chain', Array.from({ length: 1_500 }, () => 'true').join(' or ')],
    ['conditions', `${'true ? '.repeat(1_000)}true${' : false'.repeat(1_000)}`],
    ['fields', `fact('own')${'.a'.repeat(3_000)} == 1`],
    ['parts', `[${'1,'.repeat(6_000)}] == []`],
    ['branches', `${'if true {'.repeat(600)}true${'} else {false}'.repeat(600)}`],
    ['a huge range', 'len(1..9223372036854775806) > 0'],
    ['a large range', '1..2000000 == []'],
    ['loops in loops', 'all(1..10000, all(1..10000, # > 0))'],
    ['a list that grows in a loop', 'len(reduce(1..100, concat(#acc, #acc), [1])) > 0'],
    ['a text that grows in a loop', "len(reduce(1..100, #acc + #acc, 'a')) > 0"],
    ['a text that is repeated', "len(repeat(repeat('a', 1000000), 1000000)) > 0"],
    ['a replacement that grows', "len(reduce(1..20, replace(#acc, 'a', 'aaaa'), 'a')) > 0"],
    ['unlike values that are compared each with each', 'len(uniq(map(1..100000, [#]))) > 0'],
    [
      'shared lists as text',
      `${Array.from({ length: 40 }, (_none, at) => `let v${at} = [${at ? `v${at - 1}, v${at - 1}` : '1'}]; `).join('')}string(v39) == ''`,
    ],
    [
      'shared lists as JSON',
      `${Array.from({ length: 40 }, (_none, at) => `let v${at} = [${at ? `v${at - 1}, v${at - 1}` : '1'}]; `).join('')}toJSON(v39) == ''`,
    ],
    [
      'shared lists that are flattened',
      `${Array.from({ length: 40 }, (_none, at) => `let v${at} = [${at ? `v${at - 1}, v${at - 1}` : '1'}]; `).join('')}len(flatten(v39)) > 0`,
    ],
    [
      'shared lists that are compared',
      `${Array.from({ length: 40 }, (_none, at) => `let v${at} = [${at ? `v${at - 1}, v${at - 1}` : '1'}]; let w${at} = [${at ? `w${at - 1}, w${at - 1}` : '1'}]; `).join('')}v39 == w39`,
    ],
    ['comparisons in comparisons', `${'(1 < '.repeat(40)}2${' < 3 ? 2 : 4)'.repeat(40)} == 2`],
    ['deep JSON', `fromJSON(repeat('[', 5000) + repeat(']', 5000)) == fromJSON(repeat('[', 5000) + repeat(']', 5000))`],
    ['a pattern that goes back and forth', "fact('long') matches '(a?){500}a{500}(x|y)'"],
    ['patterns in a loop', "all(1..100000, '' matches ('(a{10}){90}' + string(#)) or # > 0)"],
    ['facts in a loop', "all(1..100000, fact('many.#(>1000)#') != nil)"],
    ['dates in a loop', "all(1..100000, date('2024-08-14 10:00', '2006-01-02 15:04', 'Europe/Oslo').Year() == 2024)"],
    ['words in a loop', "all(1..100000, with('/(b?){400}/') or # > 0)"],
  ])('%s', (_what, source) => {
    expect(run(source)).toBe('EXPR_LIMIT');
  });
});

describe('what looks dangerous and is not', () => {
  test.each([
    ['a pattern that JavaScript would never finish', `'${'a'.repeat(100)}!' matches '^(a+)+$'`, false],
    ['many alternatives', `${Array.from({ length: 300 }, (_none, at) => `with('c${at}')`).join(' or ')} or true`, true],
    [
      'a sum of very many',
      `sum([${Array.from({ length: 2_000 }, () => 'v').join(',')}]) == 2000`.replace(/^/, "let v = int('1'); "),
      true,
    ],
    ['a large loop', 'all(1..100000, # > 0)', true],
    ['a large list without doubles', 'len(uniq(1..100000)) == 100000', true],
  ])('%s', (_what, source, expected) => {
    expect(run(source)).toBe(expected);
  });
});

test('the time that others have on a busy machine is not that of an expression', () => {
  let passed = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => {
    passed += 1_000;
    return passed;
  });
  try {
    expect(evaluateBool(compileCompound('all(1..20000, # > 0)', []), environment, new Budget(), Date.now())).toBe(true);
  } finally {
    clock.mockRestore();
  }
  expect(passed).toBeGreaterThan(2_000);
});

describe('names of JavaScript are no names here', () => {
  test.each([
    ['__proto__ == nil', true],
    ['constructor == nil', true],
    ['toString == nil', true],
    ["fact('own').__proto__ == nil", true],
    ["fact('own')['constructor'] == nil", true],
    ["fact('__proto__') == nil", true],
    ["fact('own.constructor') == nil", true],
    ["fact('own.toString.name') == nil", true],
    ["'toString' in fact('own')", false],
    ['{__proto__: 1}.__proto__ == 1', true],
    ['{a: 1}.hasOwnProperty == nil', true],
    ['fromJSON(\'{"__proto__": {"x": 1}}\').x == nil', true],
    ['$env.constructor == nil', true],
    ["get($env, '__proto__') == nil", true],
    ["groupBy(['__proto__'], #)['__proto__'] == ['__proto__']", true],
    ["fromPairs([['__proto__', 1]]).toString == nil", true],
    ['fact(\'{"__proto__":own}.x\') == nil', true],
    ['valueOf() == 1', 'EXPR_RUN'],
    ["fact('own').toString() == ''", 'EXPR_RUN'],
    ["'abc'.length == 3", 'EXPR_TYPE'],
    ['[1].length == 1', 'EXPR_TYPE'],
  ])('%s', (source, expected) => {
    expect(run(source)).toBe(expected);
  });
});
