// What whoever has a certificate of the fleet may do to the bucket of wrong logins, with a real broker and two instances of the
// service: he locks nobody out and lets nobody in again.

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import { connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failuresBucket } from '../../plugins/aaa/login/shared-failures.ts';
import { readUnverified, signToken } from '../../plugins/wire/tokens/jwt.ts';
import { until } from '../support/folders.ts';
import { LoginService } from '../support/login-service.ts';
import { NatsServer } from '../support/nats.ts';

const password = 'canary of all';
const refused = { error: 'Login failed' };
const most = 3;
const stream = `KV_${failuresBucket}`;
const everything = '>';

let nats: NatsServer;
let stranger: NatsConnection;
let manager: JetStreamManager;
let first: LoginService;
let second: LoginService;
let store: KV;
let others = 0;

beforeAll(async () => {
  const hashed = await (await import('@node-rs/bcrypt')).hash(password, 4);
  nats = await NatsServer.start();
  const start = () =>
    LoginService.start(
      (folder) => {
        writeFileSync(join(folder, 'seed'), '24'.repeat(32));
        const named = ['anna', 'bob', 'carl', 'dora', 'erik', 'frida', 'gerd', 'hanna', 'ida', 'jan', 'kim', 'lea', 'mia'];
        return {
          authenticator: 'userlist',
          login: { failures_by_user: most, failures_by_address: 100_000, logins_by_address: 100_000 },
          userlist_authenticator: {
            validity: '1h',
            users: named.map((username) => ({ username, password: hashed })),
            signing_key: join(folder, 'seed'),
          },
        };
      },
      { config: { 'login.test.broker': `nats://127.0.0.1:${nats.port}` } },
    );
  [first, second] = [await start(), await start()];
  stranger = await connect({ servers: `127.0.0.1:${nats.port}` });
  manager = await jetstreamManager(stranger);
  await until('both hear each other', async () => (await areHeard(first, second)) && (await areHeard(second, first)));
  store = await new Kvm(stranger).open(failuresBucket);
});
afterAll(async () => {
  await stranger?.close();
  await Promise.all([first?.stop(), second?.stop()]);
  await nats?.stop();
});

const guess = async (at: LoginService, user: string, times: number) => {
  for (let index = 0; index < times; index += 1) expect((await at.login(user, `guess-${index}`)).body).toEqual(refused);
};
const isGood = async (at: LoginService, user: string) => (await at.login(user, password)).body.token !== undefined;
const limited = ({ test }: LoginService) =>
  test.log.filter(({ message }) => message.includes('too many wrong logins of this user')).length;

/** Whether `to` takes what `from` counts; nobody was told of this user before. Refusals are told once a minute and address. */
async function areHeard(from: LoginService, to: LoginService): Promise<boolean> {
  others += 1;
  const user = `other-${others}`;
  await guess(from, user, most);
  const address = `10.9.${others % 250}.${Math.floor(others / 250)}`;
  const before = limited(to);
  await to.login(user, 'guess', { address });
  return limited(to) > before;
}

/** Everything that was in the bucket before is known to both. */
async function bothHave(): Promise<void> {
  await until('the second has heard all', () => areHeard(first, second));
  await until('the first has heard all', () => areHeard(second, first));
}

async function lockedOut(user: string): Promise<void> {
  await guess(first, user, most);
  await bothHave();
  for (const service of [first, second]) expect(await isGood(service, user)).toBe(false);
}

async function entries(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const key of await store.keys(everything)) {
    const entry = await store.get(key);
    if (entry?.operation === 'PUT') found.set(key, entry.string());
  }
  return found;
}

/** What came into the bucket since, by key. */
async function since(before: ReadonlyMap<string, string>): Promise<[key: string, text: string][]> {
  return [...(await entries())].filter(([key, text]) => before.get(key) !== text);
}

/** What an instance wrote of wrong logins of a user, as it stands in the bucket. */
async function writtenOf(user: string, times: number): Promise<[key: string, text: string]> {
  const before = await entries();
  await guess(first, user, times);
  return until('it is told', async () => (await since(before)).find(([key]) => key.startsWith('user.')));
}

describe('a user who is locked out stays so when the bucket', () => {
  it.each([
    [
      'has what was told deleted',
      'anna',
      async (keys: string[]) => void (await Promise.all(keys.map((key) => store.delete(key)))),
    ],
    ['has what was told purged', 'bob', async (keys: string[]) => void (await Promise.all(keys.map((key) => store.purge(key))))],
    ['is purged as a stream', 'carl', async () => void (await manager.streams.purge(stream))],
    [
      'is overwritten with garbage',
      'dora',
      async (keys: string[]) => void (await Promise.all(keys.map((key) => store.put(key, 'garbage')))),
    ],
    [
      'is overwritten with what nobody signed',
      'erik',
      async (keys: string[]) =>
        void (await Promise.all(keys.map((key) => store.put(key, JSON.stringify({ count: 1, ends: 1 }))))),
    ],
  ] satisfies [string, string, (keys: string[]) => Promise<void>][])('%s', async (_, user, attack) => {
    await lockedOut(user);
    await attack([...(await entries()).keys()]);
    await bothHave();
    for (const service of [first, second]) expect(await isGood(service, user)).toBe(false);
  });
});

describe('nobody is locked out, and nobody let in again, by', () => {
  it('what is unsigned or signed by another; it is told once', async () => {
    const [key, text] = await writtenOf('frida', 1);
    const { privateKey } = generateKeyPairSync('ed25519');
    const claims = await readUnverified(text);
    const counts = (claims.counts as object[]).map((one) => ({ ...one, count: 1_000 }));
    const forged = await signToken({ ...claims, counts, at: Number(claims.at) + 1 }, { algorithm: 'EdDSA', key: privateKey });
    const [, payload = ''] = forged.split('.');
    const [header = '', , signature = ''] = text.split('.');
    const ends = Date.now() + 600_000;
    for (const value of [JSON.stringify({ count: 1_000, ends }), forged, `${header}.${payload}.${signature}`, 'x', ''])
      for (const at of [key, `${key.slice(0, -1)}z`, 'nonsense', `user.${'0'.repeat(64)}.x`]) await store.put(at, value);
    await bothHave();
    for (const service of [first, second]) {
      const told = service.test.log.filter(({ message }) => message.includes('counts for nothing'));
      expect(told.map(({ message }) => message)).toHaveLength(1);
    }
    // The first has counted one.
    await guess(second, 'frida', most - 2);
    expect(await isGood(first, 'frida')).toBe(true);
    expect(await isGood(second, 'frida')).toBe(true);
  });

  it('what was signed of another user, or by another instance', async () => {
    const [ofGerd] = await writtenOf('gerd', 1);
    const [, ofAll] = await writtenOf('hanna', most);
    await store.put(ofGerd, ofAll);
    await store.put(`${ofGerd.slice(0, -8)}00000000`, ofAll);
    await bothHave();
    expect(await isGood(second, 'gerd')).toBe(true);
    expect(await isGood(first, 'gerd')).toBe(true);
  });

  it('a count that was cleared by a good login, replayed', async () => {
    const [key, text] = await writtenOf('ida', most - 1);
    await bothHave();
    const before = await entries();
    expect(await isGood(second, 'ida')).toBe(true);
    const cleared = await until('it is told', async () => (await since(before)).find(([at]) => at.includes('cleared')));
    await bothHave();
    await store.put(key, text);
    await store.delete(cleared[0]);
    await bothHave();
    await guess(first, 'ida', 1);
    expect(await isGood(first, 'ida')).toBe(true);
    await guess(second, 'ida', 1);
    expect(await isGood(second, 'ida')).toBe(true);
  });

  it('a good login that was before the wrong ones, replayed', async () => {
    const before = await entries();
    await guess(first, 'jan', most - 1);
    await bothHave();
    expect(await isGood(second, 'jan')).toBe(true);
    const [key, text] = await until('it is told', async () => (await since(before)).find(([at]) => at.includes('cleared')));
    await bothHave();
    await lockedOut('jan');
    await store.put(key, text);
    await bothHave();
    for (const service of [first, second]) expect(await isGood(service, 'jan')).toBe(false);
  });
});

it('a good login at one clears what the others counted', async () => {
  for (let round = 0; round < 3; round += 1) {
    await guess(first, 'kim', most - 1);
    await bothHave();
    expect(await isGood(second, 'kim')).toBe(true);
    await bothHave();
  }
  expect(await isGood(first, 'kim')).toBe(true);
});

it('a bucket that is deleted is made anew, and what was known still counts', async () => {
  await lockedOut('lea');
  await manager.streams.delete(stream);
  await bothHave();
  for (const service of [first, second]) expect(await isGood(service, 'lea')).toBe(false);
  expect(await isGood(first, 'mia')).toBe(true);
});
