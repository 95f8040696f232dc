// Versions and constraints. Results are those of Masterminds' semver itself.

import { expect, test } from 'vitest';
import { satisfies } from '../../plugins/wire/expr/semver.ts';

test.each([
  ['1.2.3', '= 1.2.3', true],
  ['1.2.3', '1.2.3', true],
  ['1.2.3', '!= 1.2.3', false],
  ['1.2.3', '> 1.2', false],
  ['1.3.0', '> 1.2', true],
  ['1.2.3', '>= 1.2', true],
  ['1.2.9', '<= 1.2', true],
  ['1.2.3', '< 1.2.4', true],
  ['1.2.3', '=> 1.2.3', true],
  ['1.2.3', '=< 1.2.3', true],
  ['1.2.9', '~1.2.3', true],
  ['1.3.0', '~1.2.3', false],
  ['1.9.0', '~1', true],
  ['2.0.0', '~>1', false],
  ['1.9.9', '^1.2.3', true],
  ['2.0.0', '^1.2.3', false],
  ['0.2.9', '^0.2.3', true],
  ['0.3.0', '^0.2.3', false],
  ['0.0.4', '^0.0.3', false],
  ['0.1.0', '^0.0', false],
  ['1.5.0', '1.x', true],
  ['1.5.0', '1.X.3', true],
  ['9.9.9', '*', true],
  ['1.4.2', '>= 1.4, < 2', true],
  ['1.4.2', '>=1.4 <2', true],
  ['1.4.2', '< 1 || >= 1.4', true],
  ['1.4.2', '1.2 - 1.4', true],
  ['1.4.2', '1.2 - 1.6', true],
  ['v1.2', '= 1.2.0', true],
  ['1', '^1', true],
  ['12.11', '>= 12.5', true],
  ['01.02.03', '1.2.3', true],
  ['1.5.0-rc1', '> 1.4.0', false],
  ['1.5.0-rc1', '> 1.4.0-0', true],
  ['1.5.0-rc1', '^1.5.0-alpha', true],
  ['1.0.0-alpha.2', '< 1.0.0-alpha.11', true],
  ['1.0.0-alpha', '< 1.0.0-1', false],
  ['1.0.0-alpha', '< 1.0.0-alpha.1', true],
  ['1.0.0-rc.1', '< 1.0.0 || 1.0.0-rc.1', true],
  ['1.2.3+build', '= 1.2.3', true],
  ['1.2.3', '!= 1.x', false],
  ['2.2.3', '!= 1.x', true],
])('%s is %s: %s', (version, constraint, expected) => {
  expect(satisfies(version, constraint)).toBe(expected);
});

test.each([
  ['1.0.0-01', '*'],
  ['one', '> 1'],
  ['1.2.3.4', '> 1'],
  ['', '> 1'],
  ['1.0.0', 'nope'],
  ['1.0.0', ''],
  ['1.0.0', '> 1,'],
  ['1.0.0', '>> 1'],
  ['1.0.0', '1 ! 2'],
  ['1.0.0', '>=1.2 - 1.4'],
  ['1.0.0', '99999999999999999999'],
])("'%s' or '%s' can not be read", (version, constraint) => {
  expect(() => satisfies(version, constraint)).toThrow(/is no (version|constraint)/);
});

test('long ones are refused', () => {
  expect(() => satisfies('1'.repeat(300), '> 1')).toThrow('is no version');
  expect(() => satisfies('1.0.0', `> 1${' '.repeat(600)}`)).toThrow('is no constraint');
  expect(() => satisfies('1.0.0', Array.from({ length: 33 }, () => '1').join('||'))).toThrow('is no constraint');
});
