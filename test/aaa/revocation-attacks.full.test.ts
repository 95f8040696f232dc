// What whoever has a certificate of the fleet may do to the bucket of revoked tokens, with a real broker: he undoes nothing and
// revokes nobody, also where a signer starts later.

import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { publicHex, seedHex } from '../../plugins/wire/tokens/ed25519.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { patience } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { type ServiceOptions, SignerService, secureOf, type User } from '../support/signer-service.ts';
import { revocation } from '../support/tokens.ts';

const { path: folder, remove } = temporaryFolder();
const stream = 'KV_MUSTER_REVOKED';
let fleet: Fleet;
let service: SignerService;
let config: string;
let issuerFile: string;
let store: KV;
let manager: JetStreamManager;

const options = (): ServiceOptions => ({ config: { 'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}` } });

beforeAll(async () => {
  fleet = await Fleet.start({ 'plugin.choria.network.stream.store': join(folder, 'streams') });
  service = await SignerService.start(fleet.authority, options());
  config = writeConfig(folder, 'client.conf', {
    ...(await fleet.certificate('operator.mcollective')),
    ...patience,
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
  });
  issuerFile = join(folder, 'issuer.seed');
  writeFileSync(issuerFile, seedHex(service.issuer));
  await until('the signer follows', async () => (await statusOf(service)).revocationsCurrent);
  const connection = await fleet.connection();
  store = await new Kvm(connection).open('MUSTER_REVOKED');
  manager = await jetstreamManager(connection);
});
afterAll(async () => {
  await service?.stop();
  await fleet?.stop();
  remove();
});

interface Details {
  readonly revocationsCurrent: boolean;
  readonly revocationsRefused: number;
}

async function statusOf({ host }: SignerService): Promise<Details> {
  const status = (await host?.host.call('service', 'aaa', 'service/status', {})) as { details: Details };
  return status.details;
}

const muster = async (...args: string[]) => {
  const ran = await runMuster(['aaa', ...args, '--signing-key', issuerFile, '--config', config]);
  expect(ran).toMatchObject({ code: 0, err: '' });
};
const byIssuer = () => ({ key: { algorithm: 'EdDSA', key: service.issuer } as const });
const isGood = async (by: SignerService, user: User) => 'secure_request' in (await by.sign(user)).body;
const isDead = async (user: User) => !(await isGood(service, user));
const entryAt = async (key: string) => (await store.get(key))?.string();

/** A user whose token was revoked by the command, and where that is kept. */
async function revoked(name: string): Promise<{ readonly user: User; readonly key: string; readonly text: string }> {
  const user = await service.user(name);
  secureOf(await service.sign(user));
  const file = join(folder, `${name}.jwt`);
  writeFileSync(file, user.token);
  await muster('revoke', file);
  await until('the token is dead', () => isDead(user));
  const { key } = await revocation({ kind: 'public_key', value: publicHex(user.key) }, byIssuer());
  return { user, key, text: (await entryAt(key)) ?? '' };
}

describe('a revocation holds when the entry', () => {
  test.each([
    ['is deleted', (key: string) => store.delete(key)],
    ['is purged', (key: string) => store.purge(key)],
    ['is purged from the stream', (key: string) => manager.streams.purge(stream, { filter: `$KV.MUSTER_REVOKED.${key}` })],
    ['is purged with all others', () => manager.streams.purge(stream)],
    ['is overwritten with garbage', (key: string) => store.put(key, 'garbage')],
    [
      'is overwritten with what others signed',
      async (key: string, user: User) => {
        const stranger = { key: { algorithm: 'EdDSA', key: generateKeyPairSync('ed25519').privateKey } as const };
        const restore = { kind: 'public_key', value: publicHex(user.key), action: 'restore', after: Date.now() * 2 } as const;
        await store.put(key, (await revocation(restore, stranger)).value);
      },
    ],
    ['goes with the bucket', () => manager.streams.delete(stream)],
  ] satisfies [string, (key: string, user: User) => Promise<unknown>][])('%s', async (how, attack) => {
    const { user, key, text } = await revoked(how.replaceAll(' ', '-'));
    await attack(key, user);
    await until('it is written back', async () => (await entryAt(key).catch(() => undefined)) === text);
    expect(await isDead(user)).toBe(true);
    const late = await SignerService.start(fleet.authority, { ...options(), beside: service });
    try {
      expect(await isGood(late, user)).toBe(false);
    } finally {
      await late.stop();
    }
  });
});

test('an older statement that is put over a newer one undoes nothing, neither way', async () => {
  const { user, key, text: first } = await revoked('carl');
  await muster('restore', join(folder, 'carl.jwt'));
  await until('the token is good', () => isGood(service, user));
  const restored = (await entryAt(key)) ?? '';
  await store.put(key, first);
  await until('the restoring one is written back', async () => (await entryAt(key)) === restored);
  expect(await isGood(service, user)).toBe(true);
  await muster('revoke', join(folder, 'carl.jwt'));
  await until('the token is dead again', () => isDead(user));
  const again = (await entryAt(key)) ?? '';
  await store.put(key, restored);
  await until('the revoking one is written back', async () => (await entryAt(key)) === again);
  expect(await isDead(user)).toBe(true);
});

test('nobody is revoked by an entry that is unsigned, or signed by another; it is counted, and told once', async () => {
  const dora = await service.user('dora');
  const stranger = { key: { algorithm: 'EdDSA', key: generateKeyPairSync('ed25519').privateKey } as const };
  const { key, value } = await revocation({ kind: 'callerid', value: 'up=dora' }, stranger);
  const before = (await statusOf(service)).revocationsRefused;
  const told = () => service.host?.log.filter(({ message }) => message.includes(`the entry "${key}"`)) ?? [];
  for (const [index, entry] of [value, value, JSON.stringify({ kind: 'callerid', value: 'up=dora', at: 1 })].entries()) {
    await store.put(key, entry);
    // One that is replaced before it was heard of would not be counted.
    await until('it is counted', async () => (await statusOf(service)).revocationsRefused > before + index);
  }
  await until('the last one is told of', () => told().length > 1);
  secureOf(await service.sign(dora));
  expect(told().map(({ message }) => message.replace(/.*counts for nothing: /, ''))).toEqual([
    expect.stringContaining('was not signed by the issuer that is trusted here'),
    expect.stringContaining('this is no JSON Web Token'),
  ]);
});

test('a service that is started anew knows what it knew, though the bucket is gone', async () => {
  const stateFolder = join(folder, 'state');
  mkdirSync(stateFolder);
  const own = await SignerService.start(fleet.authority, { ...options(), beside: service, stateFolder });
  await until('it follows', async () => (await statusOf(own)).revocationsCurrent);
  const { user } = await revoked('erik');
  await until('it has heard of it', async () => !(await isGood(own, user)));
  await own.stop();
  // Nothing of it can come from the bucket.
  await service.host?.stop();
  await manager.streams.delete(stream);
  const anew = await SignerService.start(fleet.authority, { ...options(), beside: service, stateFolder });
  try {
    expect(await isGood(anew, user)).toBe(false);
    secureOf(await anew.sign(await service.user('frida')));
  } finally {
    await anew.stop();
  }
});
