// What a revocation takes with it.

import { sign } from 'node:crypto';
import { expect, test } from 'vitest';
import { openRequest } from '../../plugins/security-jwt/request.ts';
import { TokenTrust } from '../../plugins/security-jwt/trust.ts';
import { emptyFilter } from '../../plugins/wire/filter.ts';
import type { Issuer } from '../../plugins/wire/tokens/chain.ts';
import { type TrustAnchors, verifyClientToken } from '../../plugins/wire/tokens/client.ts';
import { keyFromSeed, publicFromHex } from '../../plugins/wire/tokens/ed25519.ts';
import { ed25519Verification, type VerificationKey } from '../../plugins/wire/tokens/jwt.ts';
import { Revocations } from '../../plugins/wire/tokens/revocations.ts';
import { requestText, secureRequestText, transportBytes } from '../../plugins/wire/v2/messages.ts';
import { chainOf, clientToken, organizationSeed, publicOf, revocation, seedOf, signingKey } from '../support/tokens.ts';

const now = Math.floor(Date.now() / 1000);
const loginSeed = '22'.repeat(32);
const strangerSeed = '33'.repeat(32);
const anna = { callerid: 'up=anna', public_key: 'aa', jti: 'x', ou: 'choria' };
const byAnna = { kind: 'callerid', value: 'up=anna' } as const;
const keyOf = (seed: string): VerificationKey => ed25519Verification(publicFromHex(publicOf(seed)));

type Entry = Awaited<ReturnType<typeof revocation>>;

class Follower {
  readonly told: string[] = [];
  readonly all: Revocations;
  #revision = 0;

  constructor(trust: TrustAnchors = { signers: [keyOf(organizationSeed)] }) {
    this.all = new Revocations({ trust: () => trust, onRefused: (problem) => this.told.push(problem) });
  }

  async hear(...entries: readonly (Entry | { readonly key: string; readonly deleted: true })[]): Promise<this> {
    const changes = entries.map((entry) => ({
      key: entry.key,
      ...('value' in entry ? { operation: 'put' as const, value: entry.value } : { operation: 'delete' as const }),
      revision: ++this.#revision,
      created: Date.now(),
    }));
    await this.all.take({ changes, reset: false, current: true });
    return this;
  }
}

test('tokens of a caller die with those that they were refreshed from', async () => {
  const { all } = await new Follower().hear(await revocation({ ...byAnna, issuedUntil: now }));
  expect(all.revoked({ ...anna, iat: now + 5, auth_time: now - 60 })).toBe('');
  expect(all.revoked({ ...anna, iat: now + 5, auth_time: now + 5 })).toBeUndefined();
  expect(all.revoked({ ...anna, iat: now + 5 })).toBeUndefined();
  expect(all.revoked({ ...anna, iat: now - 5, auth_time: now + 5 })).toBe('');
});

test('what was heard stays when the bucket loses it, and is told as missing there', async () => {
  const entry = await revocation({ ...byAnna, reason: 'stolen' });
  const follower = await new Follower().hear(entry);
  expect(follower.all.astray()).toEqual([]);
  await follower.hear({ key: entry.key, deleted: true });
  expect(follower.all.astray()).toEqual([[entry.key, entry.value.toString()]]);
  await follower.hear(entry);
  expect(follower.all.astray()).toEqual([]);
  await follower.all.take({ changes: [], reset: true, current: true });
  follower.all.compare([]);
  expect(follower.all.revoked(anna)).toBe('stolen');
  expect(follower.all.astray()).toEqual([[entry.key, entry.value.toString()]]);
});

test('the later statement counts, in whichever order they come', async () => {
  const at = (seconds: number) => ({ now: new Date(Date.now() + seconds * 1000) });
  const revoked = await revocation({ ...byAnna, ...at(0) });
  const restored = await revocation({ ...byAnna, action: 'restore', ...at(1) });
  const again = await revocation({ ...byAnna, reason: 'again', ...at(2) });
  const follower = await new Follower().hear(revoked);
  expect(follower.all.revoked(anna)).toBe('');
  expect((await follower.hear(restored)).all.revoked(anna)).toBeUndefined();
  expect((await follower.hear(revoked)).all.revoked(anna)).toBeUndefined();
  expect((await follower.hear(again)).all.revoked(anna)).toBe('again');
  expect((await follower.hear(restored, revoked)).all.revoked(anna)).toBe('again');
  expect((await new Follower().hear(again, restored, revoked)).all.revoked(anna)).toBe('again');
  expect(follower.told).toEqual([]);
});

test('a clock that is behind makes no later statement an older one', async () => {
  const ahead = await revocation({ ...byAnna, now: new Date(Date.now() + 3_600_000) });
  const [, claims = ''] = ahead.value.toString().split('.');
  const { seq } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { seq: number };
  const follower = await new Follower().hear(ahead, await revocation({ ...byAnna, action: 'restore', after: seq }));
  expect(follower.all.revoked(anna)).toBeUndefined();
});

test('what nobody signed who is trusted counts for nothing, and is told once', async () => {
  const good = await revocation(byAnna);
  const follower = new Follower();
  const unsigned = { key: good.key, value: Buffer.from(JSON.stringify({ kind: 'callerid', value: 'up=anna', at: now })) };
  const strange = await revocation(byAnna, { key: signingKey(strangerSeed) });
  const token = { key: good.key, value: Buffer.from(await clientToken('up=anna', { org_admin: true })) };
  const elsewhere = { key: (await revocation({ ...byAnna, value: 'up=bert' })).key, value: good.value };
  const long = { key: good.key, value: Buffer.alloc(100_000, 'x') };
  const none = good.value.toString().replace(/^[^.]+/, Buffer.from('{"alg":"none"}').toString('base64url'));
  const bad = [unsigned, strange, token, elsewhere, long, { key: good.key, value: Buffer.from(none.replace(/[^.]+$/, '')) }];
  for (const entry of [...bad, ...bad]) await follower.hear(entry);
  expect(follower.all.size).toBe(0);
  expect(follower.all.refused).toBe(2 * bad.length);
  expect(follower.told).toHaveLength(bad.length);
  await follower.hear(good, ...bad);
  expect(follower.all.revoked(anna)).toBe('');
});

test('whoever floods the bucket does not flood the log', async () => {
  const follower = new Follower();
  const flood = Array.from({ length: 1_000 }, (_, at) => ({ key: `jti.${at}`, value: Buffer.from(`junk ${at}`) }));
  await follower.hear(...flood);
  expect(follower.told).toHaveLength(100);
  expect(follower.told.at(-1)).toContain('others are counted and not told');
  expect(follower.all.refused).toBe(1_000);
});

test('no token passes for a statement, and no statement for a token', async () => {
  const { value } = await revocation(byAnna);
  await expect(verifyClientToken(value.toString(), { signers: [keyOf(organizationSeed)] })).rejects.toThrow('none of a client');
});

test('an issuer that the organization vouches for ends what it issued, also when its own token is renewed, and nothing else', async () => {
  const [login, renewed, other] = [await chainOf(loginSeed), await chainOf(loginSeed), await chainOf(strangerSeed)];
  const issued = (issuer: Issuer) => ({ ...anna, iss: `C-${issuer.chain?.jti}.${issuer.chain?.public_key}` });
  const { all, told } = await new Follower().hear(await revocation(byAnna, login));
  expect(told).toEqual([]);
  expect(all.revoked(issued(login))).toBe('');
  expect(all.revoked(issued(renewed))).toBe('');
  expect(all.revoked(issued(other))).toBeUndefined();
  expect(all.revoked({ ...anna, iss: 'Choria Userlist Authenticator' })).toBeUndefined();
  const restored = await revocation({ ...byAnna, action: 'restore', after: Date.now() + 9_000 }, other);
  const { all: both } = await new Follower().hear(await revocation(byAnna, login), restored);
  expect(both.revoked(issued(login))).toBe('');
  const { all: whole } = await new Follower().hear(await revocation(byAnna));
  expect(whole.revoked(issued(login))).toBe('');
});

test('an organization ends no tokens of another', async () => {
  const issuers = new Map([
    ['choria', keyOf(organizationSeed)],
    ['acme', keyOf(strangerSeed)],
  ]);
  const acme = { key: signingKey(strangerSeed) };
  const { all } = await new Follower({ issuers }).hear(await revocation({ ...byAnna, ou: 'acme' }, acme));
  expect(all.revoked({ ...anna, ou: 'acme' })).toBe('');
  expect(all.revoked(anna)).toBeUndefined();
  const { all: claimed } = await new Follower({ issuers }).hear(await revocation({ ...byAnna, ou: 'choria' }, acme));
  expect(claimed.revoked(anna)).toBeUndefined();
  expect(claimed.refused).toBe(1);
});

test('a revocation ends when it says, and is not told as missing then', async () => {
  const entry = await revocation({ ...byAnna, until: now + 60 });
  const { all } = await new Follower().hear(entry);
  expect(all.revoked(anna, (now + 59) * 1000)).toBe('');
  expect(all.revoked(anna, (now + 60) * 1000)).toBeUndefined();
  const ended = await revocation({ ...byAnna, until: now - 1 });
  const late = await new Follower().hear(ended);
  expect(late.all.size).toBe(0);
  expect(late.told).toEqual([]);
});

test('what a delegator signs is refused when his own token was revoked', async () => {
  const trust = new TokenTrust({
    'plugin.security.issuer.names': ['choria'],
    'plugin.security.issuer.choria.public': publicOf(organizationSeed),
  } as unknown as ConstructorParameters<typeof TokenTrust>[0]);
  const request = Buffer.from(
    requestText({
      id: 'a1',
      sender: 'jump.test',
      caller: 'up=anna',
      collective: 'choria',
      agent: 'rpcutil',
      ttl: 60,
      time: now,
      filter: emptyFilter,
      body: '{}',
    }),
  );
  const secure = secureRequestText({
    request,
    signature: sign(null, request, keyFromSeed(seedOf('up=signer'))),
    caller: await clientToken('up=anna', { signed_fleet_management: true }),
    signer: await clientToken('up=signer', { authentication_delegator: true }),
  });
  const payload = transportBytes(secure, { replyTo: 'choria.reply.x.a1', sender: 'jump.test', seenBy: [] });
  const asked: string[] = [];
  const check = async ({ callerid }: { readonly callerid: string }) => {
    asked.push(callerid);
    if (callerid === 'up=signer') throw new Error('it was revoked');
  };
  const parts = { trust: () => trust, unsigned: undefined, revoked: { check } };
  await expect(openRequest(payload, parts)).rejects.toThrow('it was revoked');
  expect(asked).toContain('up=signer');
});
