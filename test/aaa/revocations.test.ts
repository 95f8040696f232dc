// What a revocation takes with it.

import { sign } from 'node:crypto';
import { expect, test } from 'vitest';
import { openRequest } from '../../plugins/security-jwt/request.ts';
import { TokenTrust } from '../../plugins/security-jwt/trust.ts';
import { emptyFilter } from '../../plugins/wire/filter.ts';
import { keyFromSeed } from '../../plugins/wire/tokens/ed25519.ts';
import { type Revocation, Revocations, revocationKey } from '../../plugins/wire/tokens/revocations.ts';
import { requestText, secureRequestText, transportBytes } from '../../plugins/wire/v2/messages.ts';
import { clientToken, organizationSeed, publicOf, seedOf } from '../support/tokens.ts';

const now = Math.floor(Date.now() / 1000);

function revoked(revocation: Pick<Revocation, 'kind' | 'value' | 'issued_until'>): Revocations {
  const all = new Revocations();
  const value = Buffer.from(JSON.stringify({ ...revocation, at: now }));
  all.take({
    changes: [{ key: revocationKey(revocation), operation: 'put', value, revision: 1, created: now }],
    reset: false,
    current: true,
  });
  return all;
}

test('tokens of a caller die with those that they were refreshed from', () => {
  const all = revoked({ kind: 'callerid', value: 'up=anna', issued_until: now });
  const token = { callerid: 'up=anna', public_key: 'aa', jti: 'x' };
  expect(all.revoked({ ...token, iat: now + 5, auth_time: now - 60 })).toBe('');
  expect(all.revoked({ ...token, iat: now + 5, auth_time: now + 5 })).toBeUndefined();
  expect(all.revoked({ ...token, iat: now + 5 })).toBeUndefined();
  expect(all.revoked({ ...token, iat: now - 5, auth_time: now + 5 })).toBe('');
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
