// What instances tell each other of wrong logins, without a broker: each statement is put by a fake bucket, and handed over as a
// test wants it.

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { Host, KvChanges } from '../../core/sdk/typescript/index.ts';
import { SigningKeys } from '../../plugins/aaa/login/keys.ts';
import { KnownCounts } from '../../plugins/aaa/login/known-counts.ts';
import { SharedFailures } from '../../plugins/aaa/login/shared-failures.ts';
import { readUnverified, signToken } from '../../plugins/wire/tokens/jwt.ts';
import { temporaryFolder, until } from '../support/folders.ts';

const { path: folder, remove } = temporaryFolder();
afterAll(remove);
const seeds = { own: '31', others: '32' };
for (const [name, digits] of Object.entries(seeds)) writeFileSync(join(folder, name), digits.repeat(32));
const keysOf = (...names: string[]) =>
  new SigningKeys(
    names.map((name) => join(folder, name)),
    undefined,
  );

const windowMs = 900_000;
const anna = 'user anna';
const address = 'address 10.0.0.1';

interface Put {
  readonly key: string;
  readonly value: Uint8Array;
}

/** An instance of the service, as far as wrong logins go. */
class Instance {
  now = 1_700_000_000_000;
  readonly puts: Put[] = [];
  readonly cleared: string[] = [];
  readonly warned: string[] = [];
  readonly failures: SharedFailures;
  trouble: Error | undefined;
  #take: ((changes: KvChanges) => unknown) | undefined;

  constructor(keys = keysOf('own')) {
    const bucket = {
      create: async () => undefined,
      put: async (key: string, value: Uint8Array) => {
        if (this.trouble) throw this.trouble;
        this.puts.push({ key, value });
      },
      watch: async (_: unknown, take: (changes: KvChanges) => unknown) => {
        this.#take = take;
      },
    };
    const host = {
      log: { warn: (message: string) => void this.warned.push(message) },
      bus: { info: async () => ({ connected: true }) },
      kv: { bucket: () => bucket },
      timers: { set: async (_: unknown, run: () => Promise<void>) => run(), clear: async () => undefined },
    };
    this.failures = new SharedFailures({
      host: host as unknown as Host,
      connection: 'aaa',
      replicas: 1,
      windowMs,
      keys,
      now: () => this.now,
      onCleared: (key) => void this.cleared.push(key),
    });
  }

  static async start(keys?: SigningKeys): Promise<Instance> {
    const instance = new Instance(keys);
    await instance.failures.follow();
    return instance;
  }

  async take(puts: readonly Put[], operation: 'put' | 'delete' = 'put'): Promise<void> {
    const changes = puts.map(({ key, value }) => ({
      key,
      operation,
      revision: 1,
      created: 0,
      ...(operation === 'put' && { value }),
    }));
    await this.#take?.({ changes, reset: false, current: true });
  }

  async reset(): Promise<void> {
    await this.#take?.({ changes: [], reset: true, current: true });
  }

  /** @returns what stands in the bucket for it */
  async tell(...counts: (readonly [key: string, count: number])[]): Promise<Put[]> {
    const before = this.puts.length;
    this.failures.tell(counts.map(([key, count]) => ({ key, count, ends: this.now + windowMs })));
    await until('it is put', () => this.puts.length === before + counts.length);
    return this.puts.slice(before);
  }

  async clear(...keys: string[]): Promise<Put[]> {
    const before = this.puts.length;
    this.failures.clear(keys);
    await until('it is put', () => this.puts.length > before);
    return this.puts.slice(before);
  }

  counted(key = anna): number {
    return this.failures.count(key, this.now);
  }
}

const textOf = ({ value }: Put) => Buffer.from(value).toString();
const withText = ({ key }: Put, text: string): Put => ({ key, value: Buffer.from(text) });

describe('an instance of the service', () => {
  let first: Instance;
  let second: Instance;
  beforeEach(async () => {
    [first, second] = [await Instance.start(), await Instance.start()];
  });

  it('tells all that was wrong with a login by one signature, and shows no name', async () => {
    const puts = await first.tell([anna, 1], [address, 1], ['code up=anna', 1]);
    expect(new Set(puts.map(textOf)).size).toBe(1);
    expect(puts.map(({ key }) => key.replace(/[0-9a-f-]{36,}/g, 'x'))).toEqual(['user.x.x', 'address.x.x', 'code.x.x']);
    expect(JSON.stringify(await readUnverified(textOf(puts[0] ?? { key: '', value: Buffer.alloc(0) })))).not.toContain('anna');
    await second.take(puts);
    expect([second.counted(), second.counted(address), second.counted('code up=anna')]).toEqual([1, 1, 1]);
    expect(second.counted('user bob')).toBe(0);
  });

  it('says nothing after a good login of which nobody counted anything', async () => {
    first.failures.clear([anna, 'code up=anna']);
    const puts = await first.tell(['user bob', 1]);
    expect(first.puts).toEqual(puts);
    await second.take(puts);
    // Its window is over.
    second.now += windowMs;
    second.failures.clear(['user bob']);
    const [later] = await second.tell(['user carl', 1]);
    expect(second.puts).toEqual([later]);
  });

  it('clears by a good login what all of them counted, and counts anew', async () => {
    const third = await Instance.start();
    const counts = [...(await first.tell([anna, 3])), ...(await third.tell([anna, 2]))];
    for (const one of [first, second, third]) await one.take(counts);
    expect([first.counted(), second.counted(), third.counted()]).toEqual([2, 5, 3]);
    const clears = await second.clear(anna, 'code up=anna');
    expect(clears).toHaveLength(1);
    for (const one of [first, second, third]) await one.take(clears);
    expect([first.counted(), second.counted(), third.counted()]).toEqual([0, 0, 0]);
    expect([first.cleared, second.cleared, third.cleared]).toEqual([[anna], [], [anna]]);
    await second.take(await first.tell([anna, 1]));
    expect(second.counted()).toBe(1);
  });

  it('clears what another counted whose clock is ahead, at the same time, and after that hears of what is new', async () => {
    first.now += 30_000;
    await second.take(await first.tell([anna, 3]));
    const clears = await second.clear(anna);
    await first.take(clears);
    expect([first.cleared, second.counted()]).toEqual([[anna], 0]);
    first.now -= 30_000;
    await second.take(await first.tell([anna, 1]));
    expect(second.counted()).toBe(1);
  });

  it('keeps what it counted after the good login, of which it heard late', async () => {
    const before = await first.tell([anna, 3]);
    await second.take(before);
    const clears = await second.clear(anna);
    first.now += 1;
    const after = await first.tell([anna, 4]);
    await first.take(clears);
    expect(first.cleared).toEqual([]);
    // In whichever order they come.
    for (const puts of [
      [...after, ...clears, ...before],
      [...clears, ...before, ...after],
      [...before, ...after, ...clears, ...after, ...before],
    ]) {
      const other = await Instance.start();
      await other.take(puts);
      expect(other.counted()).toBe(4);
    }
  });

  it('is told nothing new by what is replayed', async () => {
    const few = await first.tell([anna, 1]);
    const many = await first.tell([anna, 4]);
    await second.take([...few, ...many, ...few]);
    expect(second.counted()).toBe(4);
    const clears = await second.clear(anna);
    await second.take([...many, ...few]);
    expect(second.counted()).toBe(0);
    await first.take(clears);
    const anew = await first.tell([anna, 2]);
    await second.take([...anew, ...many]);
    await second.take(clears);
    expect(second.counted()).toBe(2);
    await first.take(clears);
    expect(first.cleared).toEqual([anna]);
    second.now += windowMs;
    await second.take([...many, ...anew, ...few]);
    expect(second.counted()).toBe(0);
    expect(second.warned).toEqual([]);
  });

  it('knows what it knew when entries are deleted, overwritten, or gone with the bucket', async () => {
    const puts = await first.tell([anna, 4]);
    await second.take(puts);
    await second.take(puts, 'delete');
    await second.take(puts.map((put) => withText(put, 'garbage')));
    await second.reset();
    expect(second.counted()).toBe(4);
    await first.take(puts, 'delete');
    expect(first.cleared).toEqual([]);
  });

  it('takes nothing that is unsigned, altered, by other keys, for something else or from the future; says so once', async () => {
    const [put = { key: '', value: Buffer.alloc(0) }] = await first.tell([anna, 1]);
    const [other = put] = await first.tell(['user bob', 4]);
    const claims = await readUnverified(textOf(put));
    const own = await keysOf('own').issuer();
    const stranger = { algorithm: 'EdDSA', key: generateKeyPairSync('ed25519').privateKey } as const;
    const [header = '', payload = '', signature = ''] = textOf(put).split('.');
    const [, others = ''] = textOf(other).split('.');
    const signed = async (more: object, key = own.key) => withText(put, await signToken({ ...claims, ...more }, key));
    const bad = [
      withText(put, JSON.stringify({ count: 4, ends: second.now + windowMs })),
      withText(put, `${header}.${others}.${signature}`),
      withText(put, `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`),
      withText(put, textOf(other)),
      withText(put, ''),
      withText(put, 'x'.repeat(100_000)),
      { ...put, key: `${put.key}.cleared` },
      { ...put, key: `${put.key.slice(0, -1)}` },
      { ...put, key: 'nonsense' },
      await signed({}, stranger),
      await signed({ purpose: 'choria_client_id' }),
      await signed({ counts: [{ key: (claims.counts as { key: string }[])[0]?.key, count: 'many', ends: 1 }] }),
      await signed({ at: second.now + 61_000 }),
    ];
    for (const one of bad) await second.take([one]);
    await second.take([{ ...put, key: put.key.replace('user.', 'address.') }]);
    expect([second.counted(), second.counted('user bob'), second.counted(address)]).toEqual([0, 0, 0]);
    expect(second.warned).toEqual([
      expect.stringMatching(/^an entry of the bucket MUSTER_LOGIN_FAILURES counts for nothing: .*see who has certificates/),
    ]);
    await second.take([put]);
    expect(second.counted()).toBe(1);
    await second.take([await signed({ at: Number(claims.at) + 1, cleared: ['user.x'], counts: [] })]);
    expect(second.counted()).toBe(1);
  });

  it('hears of others whose key it has, though it signs with another', async () => {
    const rotated = await Instance.start(keysOf('others', 'own'));
    await rotated.take(await first.tell([anna, 2]));
    expect(rotated.counted()).toBe(2);
    await first.take(await rotated.tell([anna, 3]));
    expect(first.counted()).toBe(0);
  });

  it('locks nobody out for longer than its own window, whatever another says, also by replays', async () => {
    const [put = { key: '', value: Buffer.alloc(0) }] = await first.tell([anna, 4]);
    const { key } = await keysOf('own').issuer();
    const claims = await readUnverified(textOf(put));
    const far = claims.at as number;
    const counts = (claims.counts as object[]).map((one) => ({ ...one, ends: far * 2 }));
    const long = withText(put, await signToken({ ...claims, counts, exp: far }, key));
    await second.take([long]);
    expect(second.counted()).toBe(4);
    second.now += windowMs;
    await second.take([long]);
    expect(second.counted()).toBe(0);
  });

  it('says once that it can not tell the others', async () => {
    first.trouble = new Error('the broker sleeps');
    first.failures.tell([{ key: anna, count: 1, ends: first.now + windowMs }]);
    await until('it is said', () => first.warned.length > 0);
    first.failures.tell([{ key: anna, count: 2, ends: first.now + windowMs }]);
    expect(first.warned).toEqual(['wrong logins are not shared with other instances: the broker sleeps']);
  });
});

it('what is known of wrong logins stays bounded, whoever comes with ever new names', () => {
  const known = new KnownCounts();
  for (let index = 0; index < 60_000; index += 1) known.hearCount(`user ${index}`, 'one', { at: 1, count: 1, ends: 9 }, 0);
  expect(known.count('user 0', 1)).toBe(0);
  expect(known.count('user 59999', 1)).toBe(1);
});
