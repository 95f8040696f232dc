import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { base64url, decodeJwt, generateKeyPair } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/folders.ts';
import { FakeProvider } from '../support/login-fake-provider.ts';
import { type Answer, LoginKey, LoginService } from '../support/login-service.ts';

const failed = { status: 200, body: { error: 'Login failed' } };

function nonceOf(key: LoginKey): string {
  return createHash('sha256').update(Buffer.from(key.publicKey, 'hex')).digest('base64url');
}

describe('a login with an ID token', () => {
  let provider: FakeProvider;
  const services: LoginService[] = [];

  const start = async (more: object = {}) => {
    const service = await LoginService.start((folder) => {
      writeFileSync(join(folder, 'seed'), '16'.repeat(32));
      return {
        authenticator: 'oidc',
        login: { failures_by_user: 10_000, failures_by_address: 10_000, logins_by_address: 10_000 },
        oidc_authenticator: {
          issuer: provider.issuer,
          client_id: 'muster',
          validity: '1h',
          signing_key: join(folder, 'seed'),
          groups: {
            operators: { agents: ['webstack.*'], properties: { team: 'ops' }, validity: '30m' },
            admins: { agents: ['*'], permissions: { org_admin: true } },
          },
          ...more,
        },
      };
    });
    services.push(service);
    return service;
  };

  const send = (service: LoginService, credential: string, key = new LoginKey()): Promise<Answer> => {
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const signature = key.sign(`${timestamp}:oidc::${credential}`);
    return service.post('/muster/v1/login', { method: 'oidc', credential, timestamp, public_key: key.publicKey, signature });
  };

  let service: LoginService;
  beforeAll(async () => {
    provider = await FakeProvider.start();
    service = await start();
  });
  afterAll(async () => {
    for (const one of services) await one.stop();
    await provider?.stop();
  });

  it('gives what the groups of the user get, together', async () => {
    const one = decodeJwt((await send(service, await provider.sign({}))).body.token ?? '');
    expect(one).toMatchObject({ callerid: 'oidc=ann', agents: ['webstack.*'], user_properties: { team: 'ops' } });
    expect((one.exp ?? 0) - (one.iat ?? 0)).toBe(1_800);
    expect(one).not.toHaveProperty('permissions');
    const both = decodeJwt((await send(service, await provider.sign({ groups: ['admins', 'x', 'operators'] }))).body.token ?? '');
    expect(both).toMatchObject({ agents: ['webstack.*', '*'], permissions: { org_admin: true } });
  });

  it.each([
    [undefined, 'oidc=ann@x.net'],
    [true, 'oidc=ann@x.net'],
    ['true', 'oidc=ann@x.net'],
    [false, undefined],
    ['false', undefined],
    [0, undefined],
    [null, undefined],
  ])('takes an address for a name where the provider says %j of whether it verified it', async (email_verified, callerid) => {
    const byEmail = await start({ name_claim: 'email' });
    const { token } = (await send(byEmail, await provider.sign({ email: 'ann@x.net', email_verified }))).body;
    expect(token === undefined ? undefined : decodeJwt(token).callerid).toBe(callerid);
  });

  it('tells clients how to come by one', async () => {
    const { body } = await service.get('/muster/v1/login/methods');
    expect(body).toEqual({
      methods: [
        {
          name: 'oidc',
          credential: 'oidc',
          details: {
            prefix: 'oidc',
            issuer: provider.issuer,
            client_id: 'muster',
            scopes: ['openid', 'profile', 'email'],
            flows: ['code', 'device'],
            userinfo: false,
          },
        },
      ],
      second_factor: false,
    });
  });

  it('is good once, and only for the key that its nonce was made for', async () => {
    const token = await provider.sign({});
    expect((await send(service, token)).body.token).toBeDefined();
    expect(await send(service, token)).toEqual(failed);
    expect(service.said).toContain('the ID token was used before');
    const key = new LoginKey();
    const bound = await provider.sign({ nonce: nonceOf(key) });
    expect(await send(service, bound)).toEqual(failed);
    expect((await send(service, bound, key)).body.token).toBeDefined();
  });

  it('is refused when anything about the token is not as it must be', async () => {
    const now = Math.floor(Date.now() / 1_000);
    const stranger = await generateKeyPair('RS256');
    const unsigned = `${base64url.encode('{"alg":"none"}')}.${base64url.encode(JSON.stringify(decodeJwt(await provider.sign({}))))}.`;
    const publicKey = new TextEncoder().encode(JSON.stringify(await provider.publicJwk()));
    const good = await provider.sign({});
    const [head = '', , tail = ''] = good.split('.');
    const bad = {
      'no signature': unsigned,
      'a public key for a secret': await provider.sign({}, { alg: 'HS256' }, publicKey),
      "a stranger's signature": await provider.sign({}, {}, stranger.privateKey),
      "a stranger's key": await provider.sign({}, { kid: 'other' }, stranger.privateKey),
      'another issuer': await provider.sign({ iss: `${provider.issuer}/` }),
      'no issuer': await provider.sign({ iss: undefined }),
      'another audience': await provider.sign({ aud: 'others' }),
      'several audiences': await provider.sign({ aud: ['muster', 'others'] }),
      'another client': await provider.sign({ aud: ['muster', 'others'], azp: 'others' }),
      expired: await provider.sign({ exp: now - 1 }),
      'no end': await provider.sign({ exp: undefined }),
      'no beginning': await provider.sign({ iat: undefined }),
      'made long ago': await provider.sign({ iat: now - 700, exp: now + 700 }),
      'made in the future': await provider.sign({ iat: now + 60 }),
      'not valid yet': await provider.sign({ nbf: now + 60 }),
      nobody: await provider.sign({ sub: undefined }),
      'an empty name': await provider.sign({ sub: '' }),
      'a name with control characters': await provider.sign({ sub: 'ann\u0007' }),
      'no group': await provider.sign({ groups: undefined }),
      'a group of Object': await provider.sign({ groups: ['constructor', '__proto__', 'toString'] }),
      'groups that are none': await provider.sign({ groups: { operators: true } }),
      'another nonce': await provider.sign({ nonce: nonceOf(new LoginKey()) }),
      'altered claims': `${head}.${base64url.encode(JSON.stringify({ ...decodeJwt(good), groups: ['admins'] }))}.${tail}`,
      'no token': 'canary',
      'half a document': '{"id_token":',
      'no id_token': '{"access_token":"canary"}',
    };
    const answers = await Promise.all(Object.values(bad).map((credential) => send(service, credential)));
    for (const [index, what] of Object.keys(bad).entries()) expect(answers[index], what).toEqual(failed);
    expect(service.said).not.toContain('canary');
    for (const credential of Object.values(bad).filter((text) => text.startsWith('ey')))
      expect(service.said).not.toContain(credential);
  });

  it('is refused when nodes would take its user for one who came before', async () => {
    const named = async (sub: string) => send(service, await provider.sign({ sub }));
    expect(decodeJwt((await named('ann.lee@example.net')).body.token ?? '').callerid).toBe('oidc=ann.lee@example.net');
    for (const sub of ['ann_lee@example.net', 'ann@lee.example_net', 'ann_lee_example_net'])
      expect(await named(sub)).toEqual(failed);
    expect((await named('ann.lee@example.net')).body.token).toBeDefined();
    expect(service.said).toContain('signers and nodes would take it for oidc=ann.lee@example.net');
  });

  it('follows the keys of the provider', async () => {
    const other = await start();
    expect((await send(other, await provider.sign({}))).body.token).toBeDefined();
    const before = await provider.sign({});
    await provider.rotate();
    await until('the new key is known', async () => (await send(other, await provider.sign({}))).body.token);
    expect(await send(other, before)).toEqual(failed);
  });

  it('is good once, also when its signature is written in another way', async () => {
    await provider.rotate('ES256');
    const own = await start();
    const token = await provider.sign({});
    const [head = '', body = '', tail = ''] = token.split('.');
    const signature = Buffer.from(tail, 'base64url');
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    const other = order - BigInt(`0x${signature.subarray(32).toString('hex')}`);
    const twin = Buffer.concat([signature.subarray(0, 32), Buffer.from(other.toString(16).padStart(64, '0'), 'hex')]);
    expect((await send(own, token)).body.token).toBeDefined();
    for (const again of [`${head}.${body}.${twin.toString('base64url')}`, JSON.stringify({ id_token: token, access_token: 'x' })])
      expect(await send(own, again)).toEqual(failed);
    expect(own.said.match(/the ID token was used before/g)).toHaveLength(2);
    await provider.rotate();
  });

  it('takes no token without a nonce where there is no device flow', async () => {
    const strict = await start({ flows: ['code'] });
    expect(await send(strict, await provider.sign({}))).toEqual(failed);
    const key = new LoginKey();
    expect((await send(strict, await provider.sign({ nonce: nonceOf(key) }), key)).body.token).toBeDefined();
  });

  it('believes userinfo of the same user only', async () => {
    const asking = await start({ userinfo: true });
    const both = async (access: string, claims = {}) =>
      JSON.stringify({ id_token: await provider.sign({ groups: undefined, ...claims }), access_token: access });
    provider.userinfo = { sub: 'ann', groups: ['operators'] };
    expect((await send(asking, await both('canary-access'))).body.token).toBeDefined();
    expect(await send(asking, await both('canary-access', { at_hash: 'AAAAAAAAAAAAAAAAAAAAAA' }))).toEqual(failed);
    expect(await send(asking, await provider.sign({}))).toEqual(failed);
    provider.userinfo = { sub: 'bob', groups: ['operators'] };
    expect(await send(asking, await both('canary-access'))).toEqual(failed);
    expect(asking.said).toContain('userinfo speaks of another user');
    expect(asking.said).not.toContain('canary');
  });

  it.each([
    ['lies about its name', { issuer: 'https://other.example.net' }, 'none', 'the provider calls itself'],
    ['sends us elsewhere for its keys', { jwks_uri: 'http://192.0.2.1/keys' }, 'none', 'names no jwks_uri with https'],
    ['answers with an error', {}, 'status', 'answers with status 503'],
    ['answers with a page', {}, 'garbage', 'does not answer with a JSON object'],
    ['answers without end', {}, 'flood', 'has more than'],
  ] as const)('fails, and the log says why, when the provider %s', async (_, discovery, trouble, said) => {
    const own = await start();
    const token = await provider.sign({});
    [provider.discovery, provider.trouble] = [discovery, trouble];
    try {
      expect(await send(own, token)).toEqual(failed);
      const errors = own.test.log.filter(({ level }) => level === 'error').map(({ message }) => message);
      expect(errors).toHaveLength(1);
      expect(errors[0]).toContain(said);
    } finally {
      [provider.discovery, provider.trouble] = [{}, 'none'];
    }
    // It is asked again as soon as it is well.
    expect((await send(own, token)).body.token).toBeDefined();
  });
});
