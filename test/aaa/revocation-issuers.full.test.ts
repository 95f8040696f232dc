// Who may revoke what, where an organization vouches for two services that issue tokens: each ends its own, the organization all.
// What is revoked is not refreshed either.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hash } from '@node-rs/bcrypt';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seedHex } from '../../plugins/wire/tokens/ed25519.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { patience } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { LoginKey, loginBody } from '../support/login-service.ts';
import { SignerService, type User } from '../support/signer-service.ts';
import { chainToken, organizationSeed, publicOf } from '../support/tokens.ts';

const { path: folder, remove } = temporaryFolder();
const password = 'open sesame';
const file = (name: string) => join(folder, name);
let fleet: Fleet;
let oslo: SignerService;
let bergen: SignerService;

async function site(name: string, seed: string): Promise<SignerService> {
  writeFileSync(file(`${name}.seed`), seed);
  writeFileSync(file(`${name}.jwt`), await chainToken(seed));
  const users = ['anna', 'bert'].map(async (username) => ({ username, password: await hash(password, 4), acls: ['*'] }));
  return SignerService.start(fleet.authority, {
    config: { 'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}` },
    signer: { signing_certificate: publicOf(organizationSeed) },
    settings: {
      authenticator: 'userlist',
      userlist_authenticator: {
        ...{ validity: '1h', users: await Promise.all(users) },
        ...{ signing_key: file(`${name}.seed`), signing_token: file(`${name}.jwt`) },
      },
    },
  });
}

beforeAll(async () => {
  fleet = await Fleet.start({ 'plugin.choria.network.stream.store': file('streams') });
  [oslo, bergen] = [await site('oslo', '51'.repeat(32)), await site('bergen', '52'.repeat(32))];
  for (const service of [oslo, bergen])
    await until('it follows', async () => {
      const status = await service.host?.host.call('service', 'aaa', 'service/status', {});
      return (status as { details?: { revocationsCurrent?: boolean } } | undefined)?.details?.revocationsCurrent;
    });
});
afterAll(async () => {
  await oslo?.stop();
  await bergen?.stop();
  await fleet?.stop();
  remove();
});

async function logIn(service: SignerService, name: string): Promise<User> {
  const key = new LoginKey();
  const { body } = await service.post('/choria/v1/login', JSON.stringify(loginBody(name, password, key)));
  expect(body).toEqual({ token: expect.any(String) });
  return { name, key: key.key, seed: seedHex(key.key), token: String(body.token) };
}

async function refresh(service: SignerService, { token, key }: User): Promise<object> {
  const own = new LoginKey(key);
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signature = own.sign(`${timestamp}:refresh:${token}`);
  return (await service.post('/muster/v1/refresh', JSON.stringify({ token, timestamp, signature }))).body;
}

const isGood = async (service: SignerService, user: User) =>
  'secure_request' in (await service.sign(user, { caller: `up=${user.name}` })).body;

/** With the JSON file of the service, as its operator does. */
async function muster(service: SignerService, ...args: string[]) {
  const config = writeConfig(folder, 'operator.conf', {
    ...(await fleet.certificate('operator.mcollective')),
    ...patience,
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    'plugin.aaa.config': join(service.folder, 'aaa.json'),
  });
  return runMuster(['aaa', ...args, '--config', config]);
}

test('a login that is revoked where it was made is dead at every signer, and is not refreshed', async () => {
  const anna = await logIn(oslo, 'anna');
  for (const service of [oslo, bergen]) expect(await isGood(service, anna)).toBe(true);
  expect(await refresh(oslo, anna)).toEqual({ token: expect.any(String) });
  writeFileSync(file('anna.jwt'), anna.token);
  const elsewhere = await muster(bergen, 'revoke', file('anna.jwt'));
  expect(elsewhere).toMatchObject({ code: 1, out: '' });
  expect(elsewhere.err).toContain('the token was issued by another than those whose keys are here');
  expect(await muster(oslo, 'revoke', file('anna.jwt'))).toMatchObject({ code: 0 });
  for (const service of [oslo, bergen]) await until('the token is dead', async () => !(await isGood(service, anna)));
  expect(await refresh(oslo, anna)).toEqual({ error: expect.stringContaining('failed') });
  expect(await isGood(oslo, await logIn(oslo, 'anna'))).toBe(true);
});

test('a service ends the tokens of a user that it issued, and the organization those of all services', async () => {
  const [here, there] = [await logIn(oslo, 'bert'), await logIn(bergen, 'bert')];
  expect(await muster(bergen, 'revoke', '--user', 'up=bert')).toMatchObject({ code: 0 });
  await until('the token of Bergen is dead', async () => !(await isGood(oslo, there)));
  for (const service of [oslo, bergen]) expect(await isGood(service, here)).toBe(true);
  writeFileSync(file('organization.seed'), organizationSeed);
  const byOrganization = ['--signing-key', file('organization.seed')];
  expect(await muster(oslo, 'revoke', '--user', 'up=bert', ...byOrganization)).toMatchObject({ code: 0 });
  for (const service of [oslo, bergen]) await until('all are dead', async () => !(await isGood(service, here)));
  // Neither service takes back what the organization said.
  const restored = await muster(oslo, 'restore', '--user', 'up=bert');
  expect(restored.err).toContain('was revoked by another');
  expect(await isGood(bergen, here)).toBe(false);
});
