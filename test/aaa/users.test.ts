import { describe, expect, it } from 'vitest';
import { AaaError } from '../../plugins/wire/aaa/errors.ts';
import { goDurationSeconds } from '../../plugins/wire/aaa/go-duration.ts';
import { checkUsers, readUsers } from '../../plugins/wire/aaa/users.ts';
import { Dice } from '../support/fuzz-dice.ts';
import { mutate, mutateJsonText } from '../support/fuzz-mutate.ts';

const hash = '$2b$05$canarycanarycanarycanarycanarycanarycanarycanaryca';
const users = [
  {
    username: 'anna',
    password: hash,
    acls: ['webstack.*'],
    properties: { team: 'edge' },
    broker_permissions: { org_admin: true },
  },
  { username: 'bob', password: hash, opa_policy_file: '/policies/bob.rego', validity: '90m', totp: true, organization: 'acme' },
];

function problemOf(work: () => unknown): string {
  try {
    work();
    return '';
  } catch (error) {
    if (error instanceof AaaError) return error.message;
    throw error;
  }
}

describe('a list of users', () => {
  it.each([
    [[{ username: 'a.b' }, { username: 'a@b' }], 'users.json: a.b and a@b would both be the caller up=a_b'],
    [[{ username: 'a' }, { username: 'a' }], 'users.json: a is there twice'],
    [[{ username: 'a', validity: '1d' }], "users.json: the validity '1d' of a is no duration such as 30m or 8h"],
    [[{ username: 'a', acls: 'x' }], 'users.json: entry 1 (a) acls must be array,null'],
    [[{ username: 'a' }, { password: hash }], "users.json: entry 2 must have required property 'username'"],
    [{ username: 'a' }, 'users.json: it must be array'],
  ])('is refused as a whole, with one error that names the entry: %#', (list, message) => {
    expect(problemOf(() => checkUsers(list, 'users.json'))).toBe(message);
  });

  it('is read or refused, whatever was done to it, and nothing of its hashes is told', () => {
    let refused = 0;
    for (let index = 0; index < 3_000; index += 1) {
      const dice = new Dice(20_261_126, index);
      const plain = JSON.stringify(mutate(users, dice, [users[0], null, hash, 'b.ob'])) ?? '';
      const text = dice.chance(0.2) ? mutateJsonText(plain, dice) : plain;
      const problem = problemOf(() => readUsers(text, 'users.json'));
      if (problem === '') continue;
      refused += 1;
      expect(problem, `dice ${index}`).toMatch(/^users\.json/);
      expect(problem, `dice ${index}`).not.toContain('canary');
    }
    expect(refused).toBeGreaterThan(500);
  });
});

describe('a duration of Go', () => {
  it.each([
    ['90m', 5_400],
    ['1h30m', 5_400],
    ['1.5h', 5_400],
    ['500ms', 0.5],
    ['0', 0],
    ['1d', undefined],
    ['-1h', undefined],
    ['90', undefined],
    ['', undefined],
    ['1h 30m', undefined],
  ])('%j has %j seconds', (text, seconds) => {
    expect(goDurationSeconds(text)).toBe(seconds);
  });
});
