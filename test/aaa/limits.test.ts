import { describe, expect, it } from 'vitest';
import { Limit, LoginLimits } from '../../plugins/aaa/login/limits.ts';
import { problemOfProof } from '../../plugins/aaa/login/proof.ts';
import { keyFromSeed, publicHex, signHex } from '../../plugins/wire/tokens/ed25519.ts';

const minute = 60_000;

describe('limits of logins', () => {
  const settings = { failuresByUser: 2, failuresByAddress: 3, windowMs: 15 * minute, loginsByAddress: 5 };

  it('lock a user out until the window is over', () => {
    const limits = new LoginLimits(settings);
    for (let round = 0; round < 2; round += 1) expect(limits.begin('anna', `10.0.0.${round}`, 0)).toBeUndefined();
    expect(limits.begin('anna', '10.0.0.9', 14 * minute)).toBe('too many wrong logins of this user');
    expect(limits.begin('bob', '10.0.0.9', 14 * minute)).toBeUndefined();
    expect(limits.begin('anna', '10.0.0.9', 15 * minute)).toBeUndefined();
  });

  it('forget what was wrong when the user logs in, and of the address that login alone', () => {
    const limits = new LoginLimits(settings);
    for (let round = 0; round < 10; round += 1) {
      expect(limits.begin('anna', '10.0.0.1', round)).toBeUndefined();
      limits.succeeded('anna', '10.0.0.1', 'up=anna');
    }
    for (const user of ['a', 'b', 'c']) expect(limits.begin(user, '10.0.0.1', 20)).toBeUndefined();
    expect(limits.begin('d', '10.0.0.1', 21)).toBe('too many wrong logins from this address');
  });

  it('add what other instances counted, and tell them what was wrong here', () => {
    const elsewhere = new Map([['user anna', 1]]);
    const told: string[] = [];
    const cleared: string[] = [];
    const limits = new LoginLimits(settings, {
      count: (key) => elsewhere.get(key) ?? 0,
      tell: (counts) => void told.push(...counts.map(({ key, count, ends }) => `${key}: ${count} until ${ends}`)),
      clear: (keys) => void cleared.push(...keys),
    });
    expect(limits.begin('anna', '10.0.0.1', 0)).toBeUndefined();
    expect(told).toEqual([]);
    limits.failed('anna', '10.0.0.1');
    expect(told).toEqual([`user anna: 1 until ${15 * minute}`, `address 10.0.0.1: 1 until ${15 * minute}`]);
    expect(limits.begin('anna', '10.0.0.2', 1)).toBe('too many wrong logins of this user');
    elsewhere.clear();
    limits.clearedElsewhere('user anna');
    expect(limits.begin('anna', '10.0.0.3', 2)).toBeUndefined();
    limits.succeeded('anna', '10.0.0.3', 'up=anna');
    expect(cleared).toEqual(['user anna', 'code up=anna']);
  });

  it('count wrong codes by caller, with those of other instances, apart from wrong logins', () => {
    const elsewhere = new Map([['code up=anna', 1]]);
    const told: string[][] = [];
    const limits = new LoginLimits(settings, {
      count: (key) => elsewhere.get(key) ?? 0,
      tell: (counts) => void told.push(counts.map(({ key, count }) => `${key}: ${count}`)),
      clear: () => undefined,
    });
    expect(limits.beginCode('up=bob', 0)).toBeUndefined();
    limits.codeWasRight('up=bob');
    expect(limits.beginCode('up=anna', 0)).toBeUndefined();
    limits.begin('', '10.0.0.1', 0);
    limits.failed('', '10.0.0.1', 'up=anna');
    expect(told).toEqual([['user : 1', 'address 10.0.0.1: 1', 'code up=anna: 1']]);
    expect(limits.beginCode('up=anna', 1)).toBe('too many wrong codes of the second factor');
    elsewhere.clear();
    limits.clearedElsewhere('code up=anna');
    expect(limits.beginCode('up=anna', 2)).toBeUndefined();
  });

  it('stay bounded, whoever comes with ever new names', () => {
    const limit = new Limit(1, minute);
    for (let index = 0; index < 150_000; index += 1) limit.take(`user-${index}`, 0);
    expect(limit.take('user-149999', 1)).toBe(false);
    expect(limit.size).toBeLessThanOrEqual(100_000);
  });
});

describe('the proof of a login', () => {
  const key = keyFromSeed('33'.repeat(32));
  const now = 1_700_000_000_000;
  const proof = (timestamp: string) => ({
    timestamp,
    publicKey: publicHex(key),
    signature: signHex(`${timestamp}:anna:open:sesame`, key),
    text: 'anna:open:sesame',
  });

  it.each([
    ['1700000000', undefined],
    ['1699999940', undefined],
    ['1699999939', 'it is older than 60 s; compare the clocks'],
    ['1700000001', 'it is dated in the future; compare the clocks'],
    ['17000000.5', 'the timestamp is no whole number'],
    ['', 'the timestamp is no whole number'],
    ['NaN', 'the timestamp is no whole number'],
    ['1e9', 'the timestamp is no whole number'],
  ])('holds at %j: %j', (timestamp, problem) => {
    expect(problemOfProof(proof(timestamp), now)).toBe(problem);
  });

  it('takes hex of either case, and lengths that are right', () => {
    const good = proof('1700000000');
    const upper = { ...good, publicKey: good.publicKey.toUpperCase(), signature: good.signature.toUpperCase() };
    expect(problemOfProof(upper, now)).toBeUndefined();
    expect(problemOfProof({ ...good, publicKey: good.publicKey.slice(2) }, now)).toBe('the public key is not 32 bytes in hex');
    expect(problemOfProof({ ...good, signature: `${good.signature}00` }, now)).toBe('the signature is not 64 bytes in hex');
    expect(problemOfProof({ ...good, text: 'anna:open' }, now)).toBe('the signature does not fit');
  });
});
