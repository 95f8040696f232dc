// Versions that are the same, and others.

import { expect, test } from 'vitest';
import { sameVersion } from '../../plugins/wire/rpm-version.ts';

test.each([
  ['0.29.4', '0.29.4', true],
  ['0.29.4', '0.29.04', true],
  ['0:1.0-1', '1.0-1', true],
  ['1.0_1', '1.0.1', true],
  ['0.29.4', '0.29.5', false],
  ['0.29.4', '0.29', false],
  ['1:1.0', '1.0', false],
  ['1.0~rc1', '1.0', false],
  ['1.0-1', '1.0-2', false],
])('%s and %s: %s', (a, b, same) => {
  expect(sameVersion(a, b)).toBe(same);
});
