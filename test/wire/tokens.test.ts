// Tokens: who may sign one, how long it holds, and the chain from an organization to a node. The values of the first tests
// are fixed ones, worked out with Go.

import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  newTransitKeys,
  openPrivateKey,
  sealPrivateKey,
  sharedSecret,
  transitKeysOf,
} from '../../plugins/wire/provisioning/key-transit.ts';
import { chainIssuer, verifyIssued } from '../../plugins/wire/tokens/chain.ts';
import { keyFromSeed, publicFromHex, publicHex, seedHex, signHex, verifiesHex } from '../../plugins/wire/tokens/ed25519.ts';
import {
  ed25519Verification,
  readSigningKey,
  readUnverified,
  readVerificationKey,
  type SigningKey,
  signToken,
  verifyToken,
} from '../../plugins/wire/tokens/jwt.ts';
import { ksuidSeconds, newKsuid } from '../../plugins/wire/tokens/ksuid.ts';
import {
  makeProvisioningToken,
  provisioningTarget,
  readProvisioningToken,
  verifyProvisioningToken,
} from '../../plugins/wire/tokens/provisioning.ts';
import { endOf, makeServerToken, verifyServerToken } from '../../plugins/wire/tokens/server.ts';
import { temporaryFolder } from '../support/folders.ts';

const organization = '11'.repeat(32);
const issuerSeed = '22'.repeat(32);
const nodeSeed = '33'.repeat(32);
const inYears = 4_102_444_800;
const code = (name: string) => expect.objectContaining({ code: name });
const signer = (seed: string): SigningKey => ({ algorithm: 'EdDSA', key: keyFromSeed(seed) });
const verifier = (seed: string) => ed25519Verification(publicFromHex(publicHex(keyFromSeed(seed))));

let folder: ReturnType<typeof temporaryFolder>;
const file = (name: string, text: string) => {
  writeFileSync(join(folder.path, name), text);
  return join(folder.path, name);
};

beforeAll(() => {
  folder = temporaryFolder();
});
afterAll(() => folder.remove());

describe('a key id', () => {
  test('is the second and 16 bytes in base62', () => {
    const bytes = Uint8Array.from({ length: 16 }, (_, index) => index);
    expect(newKsuid(1_700_000_000, bytes)).toBe('2YBXZHqCjn9u9XPqNaTCk9OXKKF');
    expect(ksuidSeconds('2YBXZHqCjn9u9XPqNaTCk9OXKKF')).toBe(1_700_000_000);
    expect(newKsuid(1_700_000_000)).not.toBe(newKsuid(1_700_000_000));
  });

  test.each(['', 'x', 'zzzzzzzzzzzzzzzzzzzzzzzzzzz', '2YBXZHqCjn9u9XPqNaTCk9OXKK-'])('is not %j', (text) => {
    expect(ksuidSeconds(text)).toBeUndefined();
  });
});

describe('an ed25519 key', () => {
  test('is 32 bytes in hex, as a seed and as a public key', () => {
    const key = keyFromSeed(organization);
    expect(publicHex(key)).toBe('d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737');
    expect(seedHex(key)).toBe(organization);
    expect(verifiesHex('text', signHex('text', key), publicHex(key))).toBe(true);
    expect(verifiesHex('other', signHex('text', key), publicHex(key))).toBe(false);
    expect(verifiesHex('text', 'ff', publicHex(key))).toBe(false);
    expect(() => keyFromSeed('AA'.repeat(32))).toThrow(code('TOKEN_KEY'));
  });
});

describe('a provisioning token', () => {
  const claims = { cht: 's3cret', chu: 'nats://b1.example.net:4222, b2.example.net:4223', chpd: true };

  test('has the claims that Choria gives it', async () => {
    const now = new Date(1_861_920_000_000);
    const request = { claims: { ...claims, extensions: { dc: 'mla' }, v2: false, chrd: '' }, validitySeconds: 60, now };
    const token = await makeProvisioningToken(request, signer(organization));
    expect(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())).toEqual({ alg: 'EdDSA', typ: 'JWT' });
    const { jti, ...rest } = await readUnverified(`${token}\n`);
    expect(ksuidSeconds(String(jti))).toBe(1_861_920_000);
    expect(rest).toEqual({
      ...claims,
      chs: false,
      extensions: { dc: 'mla' },
      ou: 'choria',
      purpose: 'choria_provisioning',
      sub: 'choria_provisioning',
      iss: 'Choria Tokens Package',
      iat: 1_861_920_000,
      nbf: 1_861_920_000,
      exp: 1_861_920_060,
    });
  });

  test.each(['RS256', 'RS384', 'RS512'])('may be signed by %s', async (alg) => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { SignJWT } = await import('jose');
    const token = await new SignJWT({ cht: 'x', chu: 'b:1', sub: 'choria_provisioning' })
      .setProtectedHeader({ alg })
      .sign(privateKey);
    const key = readVerificationKey(file(`${alg}.pem`, publicKey.export({ type: 'spki', format: 'pem' }).toString()));
    expect((await verifyProvisioningToken(token, key)).cht).toBe('x');
    const pem = file(`${alg}.key`, privateKey.export({ type: 'pkcs1', format: 'pem' }).toString());
    const ours = await makeProvisioningToken({ claims, validitySeconds: 60 }, readSigningKey(pem));
    expect((await verifyProvisioningToken(ours, key)).cht).toBe('s3cret');
  });

  test('is refused when its signature, its time or its algorithm is not right', async () => {
    const token = await makeProvisioningToken({ claims, validitySeconds: 60 }, signer(organization));
    const key = verifier(organization);
    await expect(verifyProvisioningToken(token, verifier(issuerSeed))).rejects.toThrow(code('TOKEN_SIGNATURE'));
    await expect(verifyProvisioningToken(token, key, new Date(Date.now() + 61_000))).rejects.toThrow(code('TOKEN_EXPIRED'));
    await expect(verifyProvisioningToken(token, key, new Date(Date.now() - 600_000))).rejects.toThrow(code('TOKEN_NOT_YET'));
    const [, payload] = token.split('.');
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`;
    await expect(verifyProvisioningToken(none, key)).rejects.toThrow(code('TOKEN_SIGNATURE'));
    const { SignJWT } = await import('jose');
    // The public key as the secret of a MAC.
    const confused = await new SignJWT({ ...claims, sub: 'choria_provisioning' })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(publicHex(keyFromSeed(organization))));
    await expect(verifyProvisioningToken(confused, key)).rejects.toThrow(code('TOKEN_SIGNATURE'));
    for (const bad of ['', 'x.y', 'a.b.c', 'x'.repeat(300_000)])
      await expect(verifyProvisioningToken(bad, key)).rejects.toThrow(code('TOKEN_FORMAT'));
  });

  test.each([
    [{ purpose: 'choria_provisioning' }, 'cht'],
    [{ purpose: 'choria_server', cht: 'x' }, 'purpose'],
    [{ cht: 'x' }, 'purpose'],
    [{ purpose: 'choria_provisioning', cht: '' }, 'cht'],
    [{ purpose: 'choria_provisioning', cht: 'x', chpd: 'yes' }, 'chpd'],
  ])('with claims %j is refused', async (bad, named) => {
    const token = await signToken(bad, signer(organization));
    await expect(readProvisioningToken(token)).rejects.toThrow(code('TOKEN_CLAIMS'));
    await expect(readProvisioningToken(token)).rejects.toThrow(named);
  });

  test('leads to brokers or to a domain, never to both or to none', () => {
    expect(provisioningTarget(claims)).toEqual({ urls: ['nats://b1.example.net:4222', 'nats://b2.example.net:4223'] });
    expect(provisioningTarget({ cht: 'x', chsrv: 'example.net' })).toEqual({ domain: 'example.net' });
    for (const bad of [{}, { chu: '' }, { chu: ' , ' }, { chu: 'b' }, { chu: 'b:1', chsrv: 'c' }])
      expect(() => provisioningTarget({ cht: 'x', ...bad })).toThrow(code('TOKEN_CLAIMS'));
  });
});

describe('the token of a node', () => {
  const node = { identity: 'n1.example.net', publicKey: publicHex(keyFromSeed(nodeSeed)), collectives: ['choria'] };

  /** Of a client that may issue, as an organization gives it. */
  const issuerToken = async (by = organization, vouchedBy = by) => {
    const [jti, holder] = [newKsuid(1_700_000_000), publicHex(keyFromSeed(issuerSeed))];
    const claims = {
      callerid: 'provisioner',
      purpose: 'choria_client_id',
      public_key: holder,
      iss: `I-${publicHex(keyFromSeed(by))}`,
      tcs: signHex(`${jti}.${holder}`, keyFromSeed(vouchedBy)),
      iat: 1_700_000_000,
      exp: inYears,
      jti,
    };
    return signToken(claims, signer(by));
  };

  test('is signed by a trusted key', async () => {
    const request = { ...node, permissions: { streams: true, governor: false }, validitySeconds: 86_400 };
    const token = await makeServerToken(request, { key: signer(organization) });
    const claims = await verifyServerToken(token, verifier(organization));
    expect(claims).toMatchObject({
      identity: 'n1.example.net',
      permissions: { streams: true },
      ou: 'choria',
      iss: 'Choria Provisioner',
    });
    expect(endOf(claims)).toBe((claims.iat ?? 0) + 86_400);
    await expect(verifyServerToken(token, verifier(issuerSeed))).rejects.toThrow(code('TOKEN_SIGNATURE'));
  });

  test('lasts as long as is asked, unless that is an hour or less', async () => {
    const now = new Date();
    const seconds = Math.floor(now.getTime() / 1000);
    for (const [expires, expected] of [
      [seconds + 7_200, seconds + 7_200],
      [seconds + 3_600, seconds + 600_000],
      [86_400, seconds + 600_000],
    ] as const) {
      const token = await makeServerToken({ ...node, expires, validitySeconds: 600_000, now }, { key: signer(organization) });
      expect(await readUnverified(token)).toMatchObject({ exp: expected });
    }
  });

  test('is vouched for by a chain, whose every link is checked', async () => {
    const issuer = await chainIssuer(signer(issuerSeed), await issuerToken());
    const token = await makeServerToken({ ...node, expires: inYears + 5, validitySeconds: 60 }, issuer);
    const claims = await verifyServerToken(token, verifier(organization));
    expect(claims).toMatchObject({ issexp: inYears, exp: inYears });
    await expect(verifyServerToken(token, verifier(issuerSeed))).rejects.toThrow(code('TOKEN_CHAIN'));
    const forged = async (change: object, seed = issuerSeed) => signToken({ ...claims, ...change }, signer(seed));
    for (const [change, seed, expected] of [
      [{ tcs: claims.tcs?.split('.')[0] }, issuerSeed, 'TOKEN_CHAIN'],
      [{ iat: (claims.iat ?? 0) + 1 }, issuerSeed, 'TOKEN_CHAIN'],
      [{ issexp: undefined }, issuerSeed, 'TOKEN_CHAIN'],
      [{ issexp: 1_700_000_000 }, issuerSeed, 'TOKEN_EXPIRED'],
      [{ jti: newKsuid(claims.iat ?? 0) }, issuerSeed, 'TOKEN_CHAIN'],
      [{}, nodeSeed, 'TOKEN_SIGNATURE'],
      [{ iss: 'somebody' }, organization, 'TOKEN_CHAIN'],
      [{ identity: '' }, issuerSeed, 'TOKEN_CLAIMS'],
    ] as const)
      await expect(forged(change, seed).then((text) => verifyServerToken(text, verifier(organization)))).rejects.toThrow(
        code(expected),
      );
  });

  test('is not made by one whom no organization vouches for', async () => {
    await expect(issuerToken(organization, nodeSeed).then((token) => chainIssuer(signer(issuerSeed), token))).rejects.toThrow(
      code('TOKEN_CHAIN'),
    );
    await expect(issuerToken().then((token) => chainIssuer(signer(nodeSeed), token))).rejects.toThrow(code('TOKEN_CHAIN'));
  });
});

describe('a private key on its way to a node', () => {
  test('is agreed on as Choria does', () => {
    const keys = (byte: string) =>
      transitKeysOf(
        // A raw key in the armour that node:crypto reads.
        privateFrom(byte.repeat(32)),
      );
    const [node, provisioner] = [keys('11'), keys('22')];
    expect(node.publicHex).toBe('7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13');
    expect(provisioner.publicHex).toBe('0faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20');
    const secret = '9e004098efc091d4ec2663b4e9f5cfd4d7064571690b4bea97ab146ab9f35056';
    expect(sharedSecret(node, provisioner.publicHex).toString('hex')).toBe(secret);
    expect(sharedSecret(provisioner, node.publicHex).toString('hex')).toBe(secret);
  });

  test('can be read by the node only', () => {
    const [node, provisioner, other] = [newTransitKeys(), newTransitKeys(), newTransitKeys()];
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const sealed = sealPrivateKey(pem, sharedSecret(provisioner, node.publicHex));
    expect(sealed.split('\n').slice(0, 2)).toEqual(['-----BEGIN RSA PRIVATE KEY-----', 'Proc-Type: 4,ENCRYPTED']);
    expect(sealed).toMatch(/^DEK-Info: AES-256-CBC,[0-9A-F]{32}$/m);
    expect(openPrivateKey(sealed, sharedSecret(node, provisioner.publicHex)).equals(privateKey)).toBe(true);
    expect(() => openPrivateKey(sealed, sharedSecret(node, other.publicHex))).toThrow(code('HOOK_REPLY'));
    expect(() => openPrivateKey(pem, sharedSecret(node, provisioner.publicHex))).toThrow('unencrypted');
    for (const bad of ['', 'zz', '00'.repeat(32)]) expect(() => sharedSecret(node, bad)).toThrow(code('HOOK_REPLY'));
  });
});

describe('a key file', () => {
  test('that is no key is named', () => {
    expect(() => readSigningKey(file('bad', 'nothing'))).toThrow(/bad is neither/);
    expect(() => readSigningKey(join(folder.path, 'gone'))).toThrow(/gone can not be read/);
    expect(() => readVerificationKey('/no/such/file')).toThrow(code('TOKEN_KEY'));
    expect(() => readVerificationKey(file('worse', 'nothing'))).toThrow(code('TOKEN_KEY'));
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(() => readSigningKey(file('ec', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()))).toThrow(
      'neither RSA',
    );
  });

  test('may end in a line break, which Choria does not take', async () => {
    const token = await signToken({ a: 1 }, readSigningKey(file('seed', `${organization}\n`)));
    expect(await verifyToken(token, readVerificationKey(publicHex(keyFromSeed(organization))))).toEqual({ a: 1 });
  });
});

const vectors = new URL('../../../shared/reference/vectors/aaa.json', import.meta.url);
describe.skipIf(!existsSync(vectors))('the published vectors of chains (../shared)', () => {
  const { chain_tokens: tokens = [] } = existsSync(vectors)
    ? (JSON.parse(readFileSync(vectors, 'utf8')) as {
        chain_tokens: { id: string; key: string; token: string; valid: boolean }[];
      })
    : {};
  // Eleven is about the token of a client.
  test.each(tokens.filter(({ id }) => id !== 'chain-11'))('$id', async ({ key, token, valid }) => {
    const verified = async () => verifyIssued(token, readVerificationKey(key));
    const holds = await verified().then(
      () => true,
      () => false,
    );
    expect(holds).toBe(valid);
  });
});

function privateFrom(hex: string) {
  return createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), Buffer.from(hex, 'hex')]),
    format: 'der',
    type: 'pkcs8',
  });
}
