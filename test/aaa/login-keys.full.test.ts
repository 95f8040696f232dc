import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { afterEach, describe, expect, it } from 'vitest';
import { verifyClientToken } from '../../plugins/wire/tokens/client.ts';
import { keyFromSeed, publicFromHex, publicHex, signHex } from '../../plugins/wire/tokens/ed25519.ts';
import { ed25519Verification, signToken } from '../../plugins/wire/tokens/jwt.ts';
import { newKsuid } from '../../plugins/wire/tokens/ksuid.ts';
import { LoginKey, LoginService } from '../support/login-service.ts';

const password = 'open:sesame';
const organization = keyFromSeed('aa'.repeat(32));
const issuerSeed = 'bb'.repeat(32);

/** Of who may issue in the name of the organization. */
async function issuerToken(expiresIn: number): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  const [jti, publicKey] = [newKsuid(now), publicHex(keyFromSeed(issuerSeed))];
  const claims = {
    callerid: 'up=aaa',
    ou: 'choria',
    purpose: 'choria_client_id',
    public_key: publicKey,
    iss: `I-${publicHex(organization)}`,
    tcs: signHex(`${jti}.${publicKey}`, organization),
    iat: now,
    nbf: now,
    exp: now + expiresIn,
    jti,
  };
  return signToken(claims, { algorithm: 'EdDSA', key: organization });
}

describe('tokens of logins', () => {
  let service: LoginService | undefined;
  afterEach(async () => {
    await service?.stop();
    service = undefined;
  });

  async function start(section: (folder: string) => object, more: object = {}): Promise<LoginService> {
    const hash = await (await import('@node-rs/bcrypt')).hash(password, 4);
    service = await LoginService.start((folder) => {
      writeFileSync(join(folder, 'seed'), issuerSeed);
      const users = [{ username: 'anna', password: hash }];
      return {
        authenticator: 'userlist',
        ...more,
        userlist_authenticator: { validity: '2h', users, signing_key: join(folder, 'seed'), ...section(folder) },
      };
    });
    return service;
  }

  it('are issued in the name of an organization, and end with the token of their issuer', async () => {
    const token = await issuerToken(900);
    const running = await start((folder) => {
      writeFileSync(join(folder, 'issuer.jwt'), `${token}\n`);
      return { signing_token: join(folder, 'issuer.jwt') };
    });
    const key = new LoginKey();
    const { token: given = '' } = (await running.login('anna', password, { key })).body;
    const issuers = new Map([['choria', ed25519Verification(createPublicKey(organization))]]);
    const claims = await verifyClientToken(given, { issuers });
    const issuer = decodeJwt(token);
    expect(claims).toMatchObject({
      callerid: 'up=anna',
      iss: `C-${issuer.jti}.${issuer.public_key}`,
      issexp: issuer.exp,
      exp: issuer.exp,
      public_key: key.publicKey,
    });
    // It is refreshed like any other.
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const body = { token: given, timestamp, signature: key.sign(`${timestamp}:refresh:${given}`) };
    const { token: fresh = '' } = (await running.post('/muster/v1/refresh', body)).body;
    expect((await verifyClientToken(fresh, { issuers })).public_key).toBe(key.publicKey);

    // The issuer's token is read at each login.
    writeFileSync(join(running.folder, 'issuer.jwt'), 'no token');
    expect((await running.login('anna', password)).body).toEqual({ error: 'Could not sign JWT token' });
    expect(running.said).toContain('signing_token');
  });

  it('do not begin with a token of another key, and the service says so', async () => {
    const token = await issuerToken(900);
    const begun = start((folder) => {
      writeFileSync(join(folder, 'issuer.jwt'), token);
      writeFileSync(join(folder, 'other'), 'cc'.repeat(32));
      return { signing_key: join(folder, 'other'), signing_token: join(folder, 'issuer.jwt') };
    });
    await expect(begun).rejects.toThrow('the key of the issuer does not belong to its token');
  });

  it('are signed by the first of several keys, while all of them are published and good', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const running = await start((folder) => {
      writeFileSync(join(folder, 'old'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
      return { signing_key: [join(folder, 'old'), join(folder, 'seed')] };
    });
    const key = new LoginKey();
    const { token: before = '' } = (await running.login('anna', password, { key })).body;
    expect(decodeProtectedHeader(before).alg).toBe('RS256');
    // The keys change places.
    const [first, second] = ['old', 'seed'].map((name) => readFileSync(join(running.folder, name), 'utf8'));
    writeFileSync(join(running.folder, 'old'), second ?? '');
    writeFileSync(join(running.folder, 'seed'), first ?? '');
    const { token: after = '' } = (await running.login('anna', password)).body;
    expect(decodeProtectedHeader(after).alg).toBe('EdDSA');
    const { body } = await running.get('/.well-known/jwks.json');
    const jwks = createLocalJWKSet(body as unknown as JSONWebKeySet);
    for (const token of [before, after]) await jwtVerify(token, jwks);
    expect(JSON.stringify(body)).not.toContain('"d"');
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const refresh = { token: before, timestamp, signature: key.sign(`${timestamp}:refresh:${before}`) };
    const { token: fresh = '' } = (await running.post('/muster/v1/refresh', refresh)).body;
    await jwtVerify(fresh, publicFromHex(publicHex(keyFromSeed(issuerSeed))));
  });

  it('are refreshed no longer than a session lasts, and never beyond its end', async () => {
    const running = await start(() => ({ validity: '1h' }), { max_session: '2s' });
    const key = new LoginKey();
    const { token = '' } = (await running.login('anna', password, { key })).body;
    const { iat = 0, exp = 0, auth_time: authTime } = decodeJwt(token);
    expect([exp - iat, authTime]).toEqual([2, iat]);
    await new Promise((resolve) => setTimeout(resolve, exp * 1_000 - Date.now() + 10));
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const body = { token, timestamp, signature: key.sign(`${timestamp}:refresh:${token}`) };
    expect((await running.post('/muster/v1/refresh', body)).body).toEqual({ error: 'Login failed' });
    expect(running.said).not.toContain(token);
  });
});
