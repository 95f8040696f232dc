// What holds of logins with a list of users, however the plugins are run.

import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyClientToken } from '../../plugins/wire/tokens/client.ts';
import { keyFromSeed, publicFromHex, publicHex } from '../../plugins/wire/tokens/ed25519.ts';
import { ed25519Verification } from '../../plugins/wire/tokens/jwt.ts';
import { until } from './folders.ts';
import { LoginKey, LoginService, loginBody } from './login-service.ts';

const seed = '11'.repeat(32);
/** Hashes of open:sesame: by bcrypt at the lowest cost, and by argon2id. */
const bcryptHash = '$2a$04$ZV0zOYFoE6Dmx07/oQ1q5OtD3ZCdpvnHbL4MjYAxBEGd5lYvBi5/S';
const password = 'open:sesame';

async function hashes() {
  const [{ hash: bcrypt }, { hash: argon2 }] = [await import('@node-rs/bcrypt'), await import('@node-rs/argon2')];
  const b = await bcrypt(password, 4);
  return { '2a': `$2a${b.slice(3)}`, '2b': b, '2y': `$2y${b.slice(3)}`, argon2id: await argon2(password) };
}

function usersOf(known: Awaited<ReturnType<typeof hashes>>) {
  return [
    {
      username: 'anna',
      password: known['2a'],
      organization: 'acme',
      acls: ['webstack.*', 'rpcutil.ping'],
      properties: { team: 'edge' },
      broker_permissions: { signed_fleet_management: true, events_viewer: true, org_admin: false },
      tenant: 'mla',
      unknown: 1,
    },
    { username: 'bob', password: known['2y'], validity: '10m', broker_permissions: null },
    { username: 'Carla', password: known.argon2id, opa_policy: 'package io.choria.aaasvc' },
    { username: 'nobody', password: 'x' },
  ];
}

/** @param mode how the host runs the plugins: in its own process, or each in another */
export function describeLogins(mode: 'inline' | 'persistent'): void {
  describe(`logins with a list of users, run ${mode}`, () => {
    let service: LoginService;
    let users: ReturnType<typeof usersOf>;
    const usersFile = () => join(service.folder, 'users.json');

    beforeAll(async () => {
      users = usersOf(await hashes());
      service = await LoginService.start(
        (folder) => {
          writeFileSync(join(folder, 'seed'), seed);
          writeFileSync(join(folder, 'users.json'), JSON.stringify(users));
          return {
            authenticator: 'userlist',
            login: { failures_by_user: 3 },
            userlist_authenticator: { validity: '2h', users_file: join(folder, 'users.json'), signing_key: join(folder, 'seed') },
          };
        },
        mode === 'persistent' ? { inlineAs: 'persistent' } : {},
      );
    });
    afterAll(() => service?.stop());

    it('gives a token with all that the list says of the user, for the key that signed', async () => {
      const key = new LoginKey();
      const { status, body } = await service.login('anna', password, { key });
      expect({ status, keys: Object.keys(body) }).toEqual({ status: 200, keys: ['token'] });
      const signers = [ed25519Verification(publicFromHex(publicHex(keyFromSeed(seed))))];
      const claims = await verifyClientToken(body.token ?? '', { signers });
      expect(claims).toMatchObject({
        callerid: 'up=anna',
        ou: 'acme',
        agents: ['webstack.*', 'rpcutil.ping'],
        user_properties: { team: 'edge' },
        permissions: { signed_fleet_management: true, events_viewer: true },
        tenant: 'mla',
        public_key: key.publicKey,
        iss: 'Choria Userlist Authenticator',
      });
      expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(7_200);
      expect(claims.permissions).not.toHaveProperty('org_admin');
    });

    it('takes bcrypt of every kind and argon2id, and what a user has of his own', async () => {
      const bob = decodeJwt((await service.login('bob', password)).body.token ?? '');
      const carla = decodeJwt((await service.login('Carla', password)).body.token ?? '');
      expect((bob.exp ?? 0) - (bob.iat ?? 0)).toBe(600);
      expect({ ou: bob.ou, agents: bob.agents, permissions: bob.permissions }).toEqual({ ou: 'choria' });
      expect(carla).toMatchObject({ callerid: 'up=Carla', opa_policy: 'package io.choria.aaasvc' });
    });

    it('refuses an unknown user, a wrong password and a user without one alike', async () => {
      const answers = await Promise.all([
        service.login('anna', 'wrong'),
        service.login('stranger', password),
        service.login('carla', password),
        service.login('nobody', 'x'),
        service.login('', ''),
      ]);
      for (const answer of answers) expect(answer).toEqual({ status: 200, body: { error: 'Login failed' } });
    });

    it('refuses what was changed, made for another key, or made at another time', async () => {
      const key = new LoginKey();
      const good = loginBody('anna', password, key);
      const bad = [
        { ...good, public_key: new LoginKey().publicKey },
        { ...good, public_key: '' },
        { ...good, public_key: 'abcd' },
        { ...good, signature: 'ff' },
        { ...good, signature: 'x'.repeat(128) },
        { ...good, timestamp: `${good.timestamp}.5` },
        loginBody('anna', password, key, Date.now() + 50_000),
        loginBody('anna', password, key, Date.now() - 62_000),
        {},
        { ...good, username: null },
      ];
      for (const body of bad) expect((await service.post('/choria/v1/login', body)).body).toEqual({ error: 'Login failed' });
      expect((await service.post('/choria/v1/login', { ...good, extra: { a: 1 } })).body.token).toBeDefined();
      const { username, ...others } = good;
      expect((await service.post('/choria/v1/login', { ...others, UserName: username })).body.token).toBeDefined();
      expect((await service.post('/choria/v1/login', { ...good, password: 7 })).status).toBe(400);
    });

    it('replaces the list whole when the file changes, and keeps it when the new one can not be read', async () => {
      const [anna, bob, carla] = users;
      writeFileSync(usersFile(), JSON.stringify([bob, { ...carla, username: 'anna' }]));
      const now = decodeJwt((await service.login('anna', password)).body.token ?? '');
      expect(now).not.toHaveProperty('permissions');
      expect(now).not.toHaveProperty('agents');
      expect((await service.login('Carla', password)).body).toEqual({ error: 'Login failed' });

      const before = service.test.log.length;
      writeFileSync(usersFile(), JSON.stringify([anna]).slice(0, -1));
      utimesSync(usersFile(), new Date(0), new Date(0));
      expect((await service.login('bob', password)).body.token).toBeDefined();
      expect((await service.login('bob', password)).body.token).toBeDefined();
      const lines = () => service.test.log.slice(before).filter(({ level }) => level === 'error');
      await until('it is told', () => lines().length > 0);
      expect(lines().map(({ message }) => message)).toEqual([
        `the list of users is not read, those known before stay: ${usersFile()} is not JSON; it must be a list of users`,
      ]);

      writeFileSync(usersFile(), JSON.stringify([anna, { ...bob, username: 'a.b' }, { ...bob, username: 'a_b' }]));
      expect((await service.login('bob', password)).body.token).toBeDefined();
      await until('it is told', () => service.said.includes('a.b and a_b would both be the caller up=a_b'));

      writeFileSync(usersFile(), JSON.stringify(users));
      expect(decodeJwt((await service.login('anna', password)).body.token ?? '')).toHaveProperty('agents');
    });

    it('signs with the key that the file holds now, and publishes it', async () => {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const keyFile = join(service.folder, 'seed');
      writeFileSync(keyFile, privateKey.export({ type: 'pkcs1', format: 'pem' }));
      const { token = '' } = (await service.login('anna', password)).body;
      expect(decodeProtectedHeader(token)).toEqual({ alg: 'RS256', typ: 'JWT' });
      await jwtVerify(token, createPublicKey(privateKey));
      const { body } = await service.get('/.well-known/jwks.json');
      await jwtVerify(token, createLocalJWKSet(body as unknown as JSONWebKeySet));

      writeFileSync(keyFile, 'no key');
      expect((await service.login('anna', password)).body).toEqual({ error: 'Could not sign JWT token' });
      writeFileSync(keyFile, seed);
      expect((await service.login('anna', password)).body.token).toBeDefined();
    });

    it('refreshes a token for its key, and for no other', async () => {
      const key = new LoginKey();
      const { token = '' } = (await service.login('anna', password, { key })).body;
      const body = (by: LoginKey, text = token) => {
        const timestamp = String(Math.floor(Date.now() / 1_000));
        return { token: text, timestamp, signature: by.sign(`${timestamp}:refresh:${text}`) };
      };
      const { body: fresh } = await service.post('/muster/v1/refresh', body(key));
      const [before, after] = [decodeJwt(token), decodeJwt(fresh.token ?? '')];
      expect(after).toMatchObject({ callerid: 'up=anna', public_key: key.publicKey, auth_time: before.auth_time });
      expect(after.jti).not.toBe(before.jti);
      for (const wrong of [body(new LoginKey()), body(key, `${token}x`), body(key, 'a.b.c')])
        expect((await service.post('/muster/v1/refresh', wrong)).body).toEqual({ error: 'Login failed' });
    });

    it('locks a user out after so many wrong passwords, also from the right one, and writes no password down', async () => {
      for (let round = 0; round < 4; round += 1)
        expect((await service.login('bob', `canary-${round}`)).body).toEqual({ error: 'Login failed' });
      expect((await service.login('bob', password)).body).toEqual({ error: 'Login failed' });
      expect((await service.login('anna', password)).body.token).toBeDefined();
      await until('it is told', () => service.said.includes('too many wrong logins of this user'));
      for (const secret of ['canary-', password, seed, bcryptHash]) expect(service.said).not.toContain(secret);
    });
  });
}
