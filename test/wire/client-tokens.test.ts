// Tokens of users: which claims they have, whose signature counts, and what is refused.

import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { chainIssuer } from '../../plugins/wire/tokens/chain.ts';
import { callerOf, makeClientToken, type TrustAnchors, verifyClientToken } from '../../plugins/wire/tokens/client.ts';
import { keyFromSeed, publicFromHex, publicHex, signHex } from '../../plugins/wire/tokens/ed25519.ts';
import { ed25519Verification, readUnverified, type SigningKey, signToken } from '../../plugins/wire/tokens/jwt.ts';
import { ksuidSeconds, newKsuid } from '../../plugins/wire/tokens/ksuid.ts';

const organization = '11'.repeat(32);
const authenticator = '22'.repeat(32);
const user = '33'.repeat(32);
const now = new Date(1_700_000_000_000);
const code = (name: string) => expect.objectContaining({ code: name });
const signer = (seed: string): SigningKey => ({ algorithm: 'EdDSA', key: keyFromSeed(seed) });
const verifier = (seed: string) => ed25519Verification(publicFromHex(publicHex(keyFromSeed(seed))));
const trusts = (...seeds: string[]): TrustAnchors => ({ signers: seeds.map(verifier) });
const request = { callerid: 'up=anna', publicKey: publicHex(keyFromSeed(user)), validitySeconds: 3_600, now };

describe('the token of a user', () => {
  test('says what the user may, and nothing of what he may not', async () => {
    const token = await makeClientToken(
      {
        ...request,
        agents: ['webstack.*'],
        opaPolicy: '',
        userProperties: { team: 'edge' },
        permissions: { signed_fleet_management: true, streams_admin: false },
        tenant: 'acme',
        authTime: 1_699_999_000,
      },
      { key: signer(authenticator) },
    );
    const { jti, ...claims } = await verifyClientToken(token, trusts(authenticator), now);
    expect(claims).toEqual({
      callerid: 'up=anna',
      agents: ['webstack.*'],
      ou: 'choria',
      tenant: 'acme',
      user_properties: { team: 'edge' },
      permissions: { signed_fleet_management: true },
      auth_time: 1_699_999_000,
      purpose: 'choria_client_id',
      public_key: request.publicKey,
      iss: 'Choria Userlist Authenticator',
      exp: 1_700_003_600,
      nbf: 1_700_000_000,
      iat: 1_700_000_000,
    });
    expect(ksuidSeconds(jti ?? '')).toBe(1_700_000_000);
    const header = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString());
    expect(header).toEqual({ alg: 'EdDSA', typ: 'JWT' });
  });

  test('is signed by RS256 with an RSA key', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const token = await makeClientToken(request, { key: { algorithm: 'RS256', key: privateKey } });
    const rsa = { algorithms: ['RS256', 'RS384', 'RS512'], key: publicKey };
    expect(await verifyClientToken(token, { signers: [verifier(organization), rsa] }, now)).toMatchObject({
      callerid: 'up=anna',
    });
    await expect(verifyClientToken(token, trusts(organization), now)).rejects.toThrow(code('TOKEN_SIGNATURE'));
  });

  test('is good by one of several keys, or by the key of its organization', async () => {
    const token = await makeClientToken({ ...request, ou: 'acme' }, { key: signer(authenticator) });
    expect(await verifyClientToken(token, trusts(organization, authenticator), now)).toMatchObject({ ou: 'acme' });
    const issuers = (ou: string) => ({ issuers: new Map([[ou, verifier(authenticator)]]) });
    expect(await verifyClientToken(token, issuers('acme'), now)).toMatchObject({ ou: 'acme' });
    await expect(verifyClientToken(token, issuers('choria'), now)).rejects.toThrow('organization "acme"');
    await expect(verifyClientToken(token, trusts(), now)).rejects.toThrow(code('TOKEN_KEY'));
  });

  test('holds in its time only', async () => {
    const token = await makeClientToken(request, { key: signer(authenticator) });
    const at = (seconds: number) => verifyClientToken(token, trusts(organization, authenticator), new Date(seconds * 1000));
    expect(await at(1_700_003_599)).toMatchObject({ callerid: 'up=anna' });
    await expect(at(1_700_003_600)).rejects.toThrow(code('TOKEN_EXPIRED'));
    await expect(at(1_699_999_999)).rejects.toThrow(code('TOKEN_NOT_YET'));
    const early = await signToken(
      { callerid: 'up=anna', purpose: 'choria_client_id', public_key: request.publicKey, iat: 1_700_000_005 },
      signer(authenticator),
    );
    await expect(verifyClientToken(early, trusts(authenticator), now)).rejects.toThrow(code('TOKEN_NOT_YET'));
  });

  test.each([
    [{ purpose: 'choria_server' }, 'purpose'],
    [{ purpose: undefined }, 'purpose'],
    [{ callerid: '' }, 'callerid'],
    [{ public_key: undefined }, 'public_key'],
    [{ public_key: 'AA'.repeat(32) }, 'public_key'],
    [{ agents: 'webstack.*' }, 'agents'],
    [{ permissions: { fleet_management: 'yes' } }, 'permissions'],
  ])('with %j is none', async (change, named) => {
    const good = await makeClientToken(request, { key: signer(authenticator) });
    const bad = await signToken({ ...(await readUnverified(good)), ...change }, signer(authenticator));
    await expect(verifyClientToken(bad, trusts(authenticator), now)).rejects.toThrow(code('TOKEN_CLAIMS'));
    await expect(verifyClientToken(bad, trusts(authenticator), now)).rejects.toThrow(named);
  });

  test('chooses neither its algorithm nor its key', async () => {
    const token = await makeClientToken(request, { key: signer(authenticator) });
    const [, body = '', signature = ''] = token.split('.');
    const headed = (header: object, last = signature) =>
      `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${body}.${last}`;
    for (const bad of [
      headed({ alg: 'none', typ: 'JWT' }, ''),
      headed({ alg: 'none', typ: 'JWT' }),
      headed({ alg: 'HS256', typ: 'JWT' }),
      headed({ alg: 'RS256', typ: 'JWT' }),
      headed({ alg: 'EdDSA', typ: 'JWT', kid: '../../etc/passwd' }),
      headed({ alg: 'EdDSA', typ: 'JWT', jwk: { kty: 'OKP', crv: 'Ed25519', x: 'AAAA' } }),
    ])
      await expect(verifyClientToken(bad, trusts(authenticator), now)).rejects.toThrow(code('TOKEN_SIGNATURE'));
  });

  test('of a chain is good by the key of the organization, and by no other', async () => {
    const jti = newKsuid(1_700_000_000);
    const holder = publicHex(keyFromSeed(authenticator));
    const vouched = await signToken(
      {
        callerid: 'aaa',
        purpose: 'choria_client_id',
        public_key: holder,
        iss: `I-${publicHex(keyFromSeed(organization))}`,
        tcs: signHex(`${jti}.${holder}`, keyFromSeed(organization)),
        iat: 1_700_000_000,
        exp: 1_700_001_000,
        jti,
      },
      signer(organization),
    );
    const token = await makeClientToken(request, await chainIssuer(signer(authenticator), vouched));
    expect(await verifyClientToken(token, trusts(user, organization), now)).toMatchObject({
      exp: 1_700_001_000,
      issexp: 1_700_001_000,
    });
    await expect(verifyClientToken(token, trusts(authenticator), now)).rejects.toThrow(code('TOKEN_CHAIN'));
  });

  test('names the caller that nodes see', () => {
    expect(callerOf({ callerid: 'okta=ann.lee@example.net' })).toBe('okta=ann_lee_example_net');
  });
});

// Published conformance vectors, where a checkout has them beside it.
const file = new URL('../../../shared/reference/vectors/aaa.json', import.meta.url);
interface Vectors {
  readonly chain_tokens: readonly { id: string; key: string; token: string; valid: boolean; callerid?: string }[];
  readonly caller_rewrite: readonly { id: string; claim: string; expect: { caller?: string } }[];
}
const present = existsSync(file);
const vectors: Vectors = present ? JSON.parse(readFileSync(file, 'utf8')) : { chain_tokens: [], caller_rewrite: [] };

describe.skipIf(!present)('the published vectors (../shared)', () => {
  // Ours reads a key file that ends in a line break, which Go's does not.
  test.each(vectors.chain_tokens.filter(({ key }) => !key.endsWith('\n')))('$id', async ({ key, token, valid, callerid }) => {
    const verified = verifyClientToken(token, { signers: [ed25519Verification(publicFromHex(key))] });
    if (!valid) await expect(verified).rejects.toThrow(expect.objectContaining({ name: 'TokenError' }));
    else expect(await verified).toMatchObject(callerid === undefined ? {} : { callerid });
  });

  test.each(vectors.caller_rewrite.filter(({ expect: { caller } }) => caller !== undefined))(
    '$id',
    ({ claim, expect: wanted }) => {
      expect(callerOf({ callerid: claim })).toBe(wanted.caller);
    },
  );
});
