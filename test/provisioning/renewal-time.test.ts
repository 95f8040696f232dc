// When a node goes to be provisioned anew.

import { expect, test } from 'vitest';
import { renewalTime } from '../../plugins/provisioning-agent/renewal.ts';

const day = 86_400_000;
const life = { from: 0, until: 100 * day };
const plan = { life, fraction: 0.8, lot: 0, mark: undefined, timeoutMs: 600_000 };

test.each([
  ['at its fraction at the earliest', {}, 80],
  ['spread over half of what is left', { lot: 1 }, 90],
  ['so that those that were enrolled together come one after the other', { lot: 0.5 }, 85],
  ['whatever part of its life that is', { fraction: 0.5, lot: 1 }, 75],
  ['at once if it is wanted', { mark: { state: 'wanted', since: 85 * day, attempts: 3 } }, 80],
] as const)('%s', (_what, part, days) => {
  expect(renewalTime({ ...plan, ...part }) / day).toBe(days);
});

test('one that went back waits longer each time, and not beyond a quarter of what is left', () => {
  const after = (attempts: number, since = 82 * day) =>
    renewalTime({ ...plan, lot: 1, mark: { state: 'waiting', since, attempts } }) - since;
  const minutes = [1, 2, 3, 4].map((attempts) => after(attempts, 95 * day) / 60_000);
  expect(minutes).toEqual([20, 40, 80, 160]);
  expect(after(30, 95 * day)).toBe(day);
  expect(after(30, 99 * day)).toBe(0.25 * day);
  expect(after(1, 100 * day)).toBe(0);
  // Whoever sent it there long before its end wants it there.
  expect(after(1, 10 * day) / 60_000).toBe(20);
});

test('a node whose certificate is not its own business goes only where it was sent', () => {
  expect(renewalTime({ ...plan, life: undefined })).toBe(Number.POSITIVE_INFINITY);
  const mark = { state: 'waiting', since: day, attempts: 1 } as const;
  expect((renewalTime({ ...plan, life: undefined, lot: 1, mark }) - day) / 60_000).toBe(20);
});
