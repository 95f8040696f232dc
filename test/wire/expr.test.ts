// Expressions, language and built-ins. Results are those of expr-lang 1.17 itself in the environment of a Choria node.
// A bigint stands for a whole number, since 2 and 2.0 are not the same there.

import { describe, expect, test } from 'vitest';
import { compileCompound, compoundNames, evaluateBool, nodeEnvironment, withFactBytes } from '../../plugins/wire/compound.ts';
import { Budget, compile, ExprError } from '../../plugins/wire/expr/index.ts';
import { entriesOf, isNil, itemsOf, kindOf, type Value } from '../../plugins/wire/expr/values.ts';
import type { NodeFacts } from '../../plugins/wire/filter.ts';

const node: NodeFacts = {
  identity: 'web1.example.net',
  agents: ['apache', 'puppet', 'rpcutil', 'scout'],
  classes: ['Profile::Mixed', 'apache', 'profile::web', 'role::testing'],
  facts: {
    motto: 'Steady As She Goes',
    country: 'mt',
    customer: 'acme',
    version: '1.4.2',
    cores: 8,
    load: 1.25,
    tags: ['1', '2', '3'],
    ports: [22, 80, 443],
    os: { family: 'Debian', name: 'debian', release: { full: '12.11', major: '12' } },
    disks: [
      { name: 'nvme0', size: 64, ssd: true },
      { name: 'sda', size: 2000, ssd: false },
    ],
  },
};
const told: Readonly<Record<string, object>> = {
  'scout disk': { name: 'disk', state: 'CRITICAL', history: ['OK', 'WARNING', 'CRITICAL'] },
  'scout absent': {},
  'choria ': { version: '0.29.4' },
};
const data = [
  { name: 'scout', takesQuery: true },
  { name: 'choria', takesQuery: false },
];
const environment = withFactBytes(
  nodeEnvironment(node, data, (source, query = '') => told[`${source} ${query}`] ?? null),
  node,
);

function valueFor(source: string): unknown {
  const program = compile(source, { names: compoundNames(data) });
  return plain(program.evaluate(environment, { now: Date.now() }));
}

/** Lists and objects of whatever make as those of JavaScript. */
function plain(value: Value): unknown {
  if (value instanceof Uint8Array) return value;
  if (isNil(value)) return null;
  const items = itemsOf(value);
  if (items) return items.map(plain);
  if (kindOf(value) !== 'map') return value;
  return Object.fromEntries((entriesOf(value) ?? []).map(([key, item]) => [String(key), plain(item)]));
}

/** Why an expression is no filter. */
function codeOf(source: string): string | undefined {
  try {
    const program = compileCompound(source, data);
    return `it gave ${evaluateBool(program, environment, new Budget(), Date.now())}`;
  } catch (error) {
    if (error instanceof ExprError) return error.code;
    throw error;
  }
}

describe('numbers', () => {
  test.each([
    ['1 + 2', 3n],
    ['1 + 2.0', 3],
    ['7 / 2', 3.5],
    ['7 % 3', 1n],
    ['-7 % 3', -1n],
    ['2 ** 3', 8],
    ['-2 ** 2', -4],
    ['2 ** 10 == 1024', true],
    ['1 / 0', Number.POSITIVE_INFINITY],
    ['9223372036854775807 + 1', -9223372036854775808n],
    ['0x1F', 31n],
    ['0b101', 5n],
    ['0o17', 15n],
    ['1_000', 1000n],
    ['1.5e3', 1500],
    ['.5', 0.5],
    ['1 == 1.0', true],
    ['[1, 2] == [1.0, 2.0]', true],
    ["fact('cores') == 8", true],
    ["fact('load') > 1", true],
    ["fact('cores') * 2 == 16", true],
    ["int(fact('cores')) % 2 == 0", true],
    ['1 < 2 < 3', true],
    ['1 < 3 < 2', false],
    ['-1..1', [-1n, 0n, 1n]],
    ['5..1', []],
    ['3 in 1..5', true],
  ])('%s', (source, expected) => {
    expect(valueFor(source)).toEqual(expected);
  });
});

describe('text', () => {
  test.each([
    ['\'a\' + "b"', 'ab'],
    ['"caf\\u00e9\\n\\t\\x41\\101"', 'café\n\tAA'],
    ['"\\u{1F600}"', '😀'],
    ['`raw \\n ``tick```', 'raw \\n `tick`'],
    ['b"\\xff\\x00"', new Uint8Array([255, 0])],
    ["'b' > 'a'", true],
    ["'😀' > '￿'", true],
    ["'abc' contains 'b'", true],
    ["'abc' not contains 'b'", false],
    ["'abc' startsWith 'a'", true],
    ["'abc' endsWith 'c'", true],
    ["fact('motto') matches '^Steady'", true],
    ["fact('motto') matches '(?i)^steady'", true],
    ["fact('motto') not matches 'xyz'", true],
    ["fact('nosuch') matches 'x'", false],
    ["fact('nosuch') contains 'x'", false],
    ["'hello'[1:3]", 'el'],
    ["fact('motto')[-4:]", 'Goes'],
    ["fact('motto')[0]", 83n],
  ])('%s', (source, expected) => {
    expect(valueFor(source)).toEqual(expected);
  });
});

describe('lists and objects', () => {
  test.each([
    ["[1, 'a', nil,]", [1n, 'a', null]],
    ["{a: 1, 'b': 2, 3: 4, (lower('C')): 5}", { '3': 4n, a: 1n, b: 2n, c: 5n }],
    ['{a: 1, a: 2}.a', 1n],
    ['{}.a', null],
    ['[1, 2, 3][-1]', 3n],
    ['[1, 2, 3][1:]', [2n, 3n]],
    ['[1, 2, 3][:-1]', [1n, 2n]],
    ['1 in [1, 2]', true],
    ['1 not in [1]', false],
    ["'a' in {a: 1}", true],
    ["fact('cores') in [8]", true],
    ["'1' in fact('tags')", true],
    ["'x' in fact('nosuch')", false],
    ["fact('os').family", 'Debian'],
    ["fact('os')['release']['major']", '12'],
    ["fact('os').nosuch", null],
    ["fact('os')?.release?.major", '12'],
    ["fact('nosuch')?.a.b.c", null],
    ["fact('tags')[-1]", '3'],
    ['classes[1]', 'apache'],
    ["agents == ['apache', 'puppet', 'rpcutil', 'scout']", true],
    ['{a: 1} == {a: 1}', true],
    ['{a: 1} == fromJSON(\'{"a": 1}\')', false],
    ['{a: 1.0} == fromJSON(\'{"a": 1}\')', true],
  ])('%s', (source, expected) => {
    expect(valueFor(source)).toEqual(expected);
  });
});

describe('logic and flow', () => {
  test.each([
    ['true and not false', true],
    ["not with('nginx')", true],
    ["!with('x') && !with('y')", true],
    ["with('apache') or with('nginx') and with('nosuch')", true],
    ["(with('apache') or with('nginx')) and with('nosuch')", false],
    ["with('apache') or fact('nosuch') > 1", true],
    ["with('nginx') and fact('nosuch') > 1", false],
    ["fact('nosuch') > 1 and false", false],
    ["fact('nosuch') > 1 or true", true],
    ["fact('nosuch') and true", null],
    ['true ? 1 : 2', 1n],
    ['true ?: 2', true],
    ['nil ?? 1', 1n],
    ["(fact('nosuch') ?? 5) > 1", true],
    ['if false { 1 } else if true { 3 } else { 2 }', 3n],
    ['let x = 1; let y = x + 1; y * 2', 4n],
    ['1; 2', 2n],
    ["fact('motto') | lower() | split(' ')", ['steady', 'as', 'she', 'goes']],
    ['[1, 2, 3] | filter(# > 1) | map(# * 2) | sum()', 10n],
    ['/* before */ true // after', true],
    ['nosuch == nil', true],
    ['nosuch?.a', null],
    ["$env['classes'][1]", 'apache'],
    ["$env.with('apache')", true],
    ['::len([1, 2])', 2n],
  ])('%s', (source, expected) => {
    expect(valueFor(source)).toEqual(expected);
  });
});

describe('predicates', () => {
  test.each([
    ['all([1, 2], # > 0)', true],
    ['all([], false)', true],
    ["none(fact('disks'), {.size > 5000})", true],
    ["any(fact('disks'), .size > 100)", true],
    ["any(fact('disks'), {#.size > 100})", true],
    ['any([1, 2], any([3, 4], # > 3))', true],
    ["one(fact('disks'), {.ssd})", true],
    ['filter(1..10, # % 2 == 0)', [2n, 4n, 6n, 8n, 10n]],
    ["filter(classes, # startsWith 'p')", ['profile::web']],
    ["map(fact('disks'), .name)", ['nvme0', 'sda']],
    ['map([1, 2, 3], #index)', [0n, 1n, 2n]],
    ['map([1, 2, 3], {let y = # + 1; y * y})', [4n, 9n, 16n]],
    ['map([[1, 2], [3]], map(#, # + 1))', [[2n, 3n], [4n]]],
    ['find([1, 2, 3], # > 1)', 2n],
    ['find([1, 2, 3], # > 5)', null],
    ['findIndex([1, 2, 3], # > 1)', 1n],
    ['findIndex([1, 2, 3], # > 5)', null],
    ['findLast([1, 2, 3], # < 3)', 2n],
    ['findLastIndex([1, 2, 3], # < 3)', 1n],
    ["count(fact('ports'), # > 50)", 2n],
    ['count([true, false, true])', 2n],
    ['sum([1, 2.5])', 3.5],
    ['sum([1, 2, 3], # * 2)', 12n],
    ["sum([fact('country'), fact('customer')])", 'mtacme'],
    ['sum([])', 0n],
    ['groupBy([1, 2, 3], # > 1)[true]', [2n, 3n]],
    ["sortBy(fact('disks'), .name, 'desc')[0].name", 'sda'],
    ['sortBy([3, 1, 2], #)', [1n, 2n, 3n]],
    ['reduce([1, 2, 3], #acc + # * #index)', 9n],
    ['reduce([1, 2, 3], #acc + #, 10)', 16n],
    ['reduce([], #acc + #, 5)', 5n],
    ["any([1, 'a'], # == 1) or any([1, 'a'], # > 5)", true],
    ["count([1, 2, 'a'], # > 0) >= 2", true],
    ["first(filter([1, 'a'], # == 1 or # > 5))", 1n],
  ])('%s', (source, expected) => {
    expect(valueFor(source)).toEqual(expected);
  });
});

describe('built-ins for numbers', () => {
  test.each([
    ['abs(-5)', 5n],
    ['abs(-5.5)', 5.5],
    ['ceil(1.5)', 2],
    ['floor(-1.5)', -2],
    ['round(-1.5)', -2],
    ['round(2.5)', 3],
    ["int('42')", 42n],
    ['int(-4.9)', -4n],
    ['int(1e300)', -9223372036854775808n],
    ["float('4.2')", 4.2],
    ["float('1e3')", 1000],
    ['max(1, 2.5)', 2.5],
    ['max([1, [5, 2]])', 5n],
    ['min(3, 1)', 1n],
    ["mean(fact('ports'))", 181.66666666666666],
    ['mean([])', 0],
    ['median(1, 2, 3, 4)', 2.5],
    ['median([3, 1, 2])', 2],
    ['bitand(6, 3)', 2n],
    ['bitor(6, 3)', 7n],
    ['bitxor(6, 3)', 5n],
    ['bitnand(6, 3)', 4n],
    ['bitshl(1, 63)', -9223372036854775808n],
    ['bitshl(1, 64)', 0n],
    ['bitshr(-8, 1)', -4n],
    ['bitushr(-8, 60)', 15n],
    ['bitnot(5)', -6n],
  ])('%s', (source, expected) => {
    expect(valueFor(source)).toEqual(expected);
  });
});

describe('built-ins for text', () => {
  test.each([
    ["len('héllo')", 5n],
    ['string(1.0)', '1'],
    ['string(1e6)', '1e+06'],
    ["string([1, 'a', 2.5, nil])", '[1 a 2.5 <nil>]'],
    ['string({b: 1, a: [1]})', 'map[a:[1] b:1]'],
    ["trim('  a ')", 'a'],
    ["trim('xxaxx', 'x')", 'a'],
    ["trimPrefix('abc', 'a')", 'bc'],
    ["trimSuffix('abc', 'c')", 'ab'],
    ["upper('aé')", 'AÉ'],
    ["lower('AÉ')", 'aé'],
    ["upper('ß')", 'ß'],
    ["split('a,b,c', ',')", ['a', 'b', 'c']],
    ["split('a,b,c', ',', 2)", ['a', 'b,c']],
    ["split('abc', '')", ['a', 'b', 'c']],
    ["splitAfter('a,b,c', ',')", ['a,', 'b,', 'c']],
    ["replace('aaa', 'a', 'b', 2)", 'bba'],
    ["replace('aaa', '', '-')", '-a-a-a-'],
    ["repeat('ab', 3)", 'ababab'],
    ["join(['a', 'b'], ',')", 'a,b'],
    ["join(classes, '+')", 'Profile::Mixed+apache+profile::web+role::testing'],
    ["indexOf('héllo', 'l')", 3n],
    ["lastIndexOf('héllol', 'l')", 6n],
    ["hasPrefix('abc', 'a')", true],
    ["hasSuffix('abc', 'c')", true],
    ["toJSON({b: [1, 2.5, nil], a: '<x>'})", '{\n  "a": "\\u003cx\\u003e",\n  "b": [\n    1,\n    2.5,\n    null\n  ]\n}'],
    ['fromJSON(\'{"a": [1, 2]}\')', { a: [1, 2] }],
    ["toBase64('héllo')", 'aMOpbGxv'],
    ["fromBase64('aGVsbG8=')", 'hello'],
  ])('%s', (source, expected) => {
    expect(valueFor(source)).toEqual(expected);
  });
});

describe('built-ins for lists and objects', () => {
  test.each([
    ['len({a: 1})', 1n],
    ['type(1)', 'int'],
    ['type(1.0)', 'float'],
    ['type(nil)', 'nil'],
    ["type(fact('tags'))", 'array'],
    ["type(fact('os'))", 'map'],
    ['type(now())', 'time.Time'],
    ['first([1, 2])', 1n],
    ['first([])', null],
    ['last(classes)', 'role::testing'],
    ['get([1, 2], -1)', 2n],
    ['get([1, 2], 5)', null],
    ["get(fact('os'), 'family')", 'Debian'],
    ['take([1, 2, 3], 2)', [1n, 2n]],
    ['sort(keys({b: 1, a: 2}))', ['a', 'b']],
    ["sort(values({b: 1, a: 2}), 'desc')", [2n, 1n]],
    ['toPairs({a: 1})[0][1]', 1n],
    ["fromPairs([['a', 1], [2, 'b']])[2]", 'b'],
    ['reverse([1, 2, 3])', [3n, 2n, 1n]],
    ["uniq([1, 1.0, '1', 1, nil, nil])", [1n, '1', null]],
    ['concat([1], classes[0:1])', [1n, 'Profile::Mixed']],
    ['concat([]) == nil', true],
    ['flatten([1, [2, [3]]])', [1n, 2n, 3n]],
    ['sort([3, 1, 2])', [1n, 2n, 3n]],
  ])('%s', (source, expected) => {
    expect(valueFor(source)).toEqual(expected);
  });
});

describe('times', () => {
  test.each([
    ["now() > date('2020-01-01')", true],
    ["type(now() - date('2020-01-01'))", 'time.Duration'],
    ["date('2024-08-14') == date('2024-08-14T02:00:00+02:00')", true],
    ["date('2024-02-29') + duration('24h') == date('2024-03-01')", true],
    ["date('14/08/2024', '02/01/2006') == date('2024-08-14')", true],
    ["date('8/14/24 3:04PM', '1/2/06 3:04PM').Hour()", 15n],
    ["date('2024-08-14 10:00', '2006-01-02 15:04', 'Europe/Oslo').Unix()", 1723622400n],
    ["date(timezone('Europe/Oslo'), '2024-01-14 10:00:00').Unix()", 1705222800n],
    ["date('2024-08-14').Year()", 2024n],
    ["date('2024-08-14').YearDay()", 227n],
    ["string(date('2024-08-14').Weekday())", 'Wednesday'],
    ["int(date('2024-08-14').Month())", 8n],
    ["date('2024-08-14').Format('Jan 2, 2006 at 3:04pm (MST)')", 'Aug 14, 2024 at 12:00am (UTC)'],
    ["string(date('2024-08-14'))", '2024-08-14 00:00:00 +0000 UTC'],
    ["toJSON(date('2024-08-14 10:11:12'))", '"2024-08-14T10:11:12Z"'],
    ["string(date('2024-08-14') - date('2024-08-13'))", '24h0m0s'],
    ["duration('90m').Hours()", 1.5],
    ["string(duration('1h') * 2 + duration('1.5s'))", '2h0m1.5s'],
    ["duration('1h') > duration('30m')", true],
  ])('%s', (source, expected) => {
    expect(valueFor(source)).toEqual(expected);
  });
});

describe('the names of a node', () => {
  test.each([
    ["with('apache')", true],
    ["with('APACHE')", true],
    ["with('RPCUTIL')", false],
    ["with('/^PROFILE/')", true],
    ["with('country=/^m/')", true],
    ["with('cores>8')", false],
    ["with('nosuch!=x')", false],
    ["with('')", false],
    ["include(fact('ports'), 22)", true],
    ["include(fact('ports'), '22')", false],
    ["include(fact('nosuch'), 1)", false],
    ["include(filter(classes, true), 'apache')", true],
    ["semver(fact('version'), '>= 1.4, < 2')", true],
    ["semver(fact('version'), '1.2 - 1.6')", true],
    ["scout('disk').history[2]", 'CRITICAL'],
    ["scout('absent').state", null],
    ["scout('unknown') == nil", true],
    ["scout('unknown') ?? 'none'", 'none'],
    ['choria().version', '0.29.4'],
    ['len(facts) > 100', true],
    ["scout(fact('nosuch')) == nil", true],
  ])('%s', (source, expected) => {
    expect(valueFor(source)).toEqual(expected);
  });
});

describe('expressions that can not be read', () => {
  test.each([
    "with('apache'",
    "fact('country') = 'mt'",
    'true # note',
    "'unterminated",
    '"\\\'"',
    '/* unclosed',
    '1a',
    '1 ?? 2 + 3',
    'a b',
    '{a}',
    '[1',
    'if true {1}',
    'let x = 1',
    'any([1], # > 1; false)',
    '#',
  ])('%s', (source) => {
    expect(codeOf(source)).toBe('EXPR_SYNTAX');
  });
});

describe('expressions that make no sense before they run', () => {
  test.each([
    "'true'",
    "1 + 'a'",
    "1 in ['a']",
    "'a' < 1",
    "include(classes, 'apache')",
    'not 1',
    'len(1)',
    'upper(1)',
    'upper(nil)',
    "split('a')",
    'any(1, true)',
    'any([1], 1)',
    'filter([1], #index == 0)',
    'let len = 1; true',
    '1 % 0 == 1',
    'true or 1 % 0 == 0',
    "'abc' matches '('",
    "fact('motto') matches '(?=S)'",
    'scout()',
    "choria('x')",
    'with(1)',
    "date('2024-08-14').Month() == 8",
    '[1][0].b',
    "fact('motto') and 5",
  ])('%s', (source) => {
    expect(codeOf(source)).toBe('EXPR_TYPE');
  });
});

describe('expressions that fail', () => {
  test.each([
    "fact('country')",
    "include(true ? classes : ['a'], 'a')",
    "fact('nosuch') > 1",
    "!(fact('nosuch') > 1)",
    "fact('nosuch') and with('apache')",
    "fact('cores') % 2 == 0",
    "fact('cores') matches '8'",
    "'te' in fact('motto')",
    "fact('cores') in ['a']",
    "fact('nosuch').a == 1",
    "fact('tags')[5] == 1",
    "include(fact('country'), 'm')",
    "semver(fact('motto'), '> 1')",
    "with(fact('nosuch'))",
    "nosuch('x').y == 1",
    'nosuch()',
    'find([1], # > 5) == 3',
    "sortBy([1], #, 'up') == nil",
    'reduce([], #acc) == nil',
    'groupBy([[1]], #) == nil',
    "fromJSON('{') == nil",
    "fromBase64('!') == ''",
    "duration('x') == nil",
    "date('x') == nil",
    "timezone('x/y') == nil",
    "repeat('a', -1) == ''",
    'take([1], -1) == nil',
    'bitshl(1, -1) == 1',
    "sort(['a', 1]) == nil",
    "toJSON(1 / 0) == ''",
    "$env.with(fact('nosuch'))",
  ])('%s', (source) => {
    expect(codeOf(source)).toBe('EXPR_RUN');
  });
});

test('an error shows the place', () => {
  const compileIt = () => compileCompound("with('apache') and\n  fact('country') = 'mt'", data);
  expect(compileIt).toThrow(
    "'=' is not expected here; '==' compares (line 2, column 19)\n    fact('country') = 'mt'\n                    ^",
  );
});

test('an error while it runs shows the place, too', () => {
  const program = compileCompound("with('apache') and fact('nosuch').a == 1", data);
  expect(() => evaluateBool(program, environment, new Budget(), Date.now())).toThrow('(line 1, column 35)');
});

test('a data plugin takes the place of a built-in, and of no name of its own', () => {
  const called: string[] = [];
  const others = [
    { name: 'len', takesQuery: true },
    { name: 'with', takesQuery: true },
  ];
  const own = nodeEnvironment(node, others, (source) => {
    called.push(source);
    return { size: 3 };
  });
  const program = compileCompound("len('x').size == 3 and with('apache')", others);
  expect(evaluateBool(program, own, new Budget(), Date.now())).toBe(true);
  expect(called).toEqual(['len']);
});

test('what is decided early is not looked at', () => {
  const called: string[] = [];
  const own = nodeEnvironment(node, data, (source) => {
    called.push(source);
    return {};
  });
  for (const source of ["with('apache') or choria().x == 1", "with('nginx') and choria().x == 1", "false and scout('x').y == 1"])
    evaluateBool(compileCompound(source, data), own, new Budget(), Date.now());
  expect(called).toEqual([]);
});
