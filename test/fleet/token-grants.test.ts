// What tokens open at the port for those who have no certificate.

import { sign } from 'node:crypto';
import { expect, test } from 'vitest';
import { holderGrants } from '../../plugins/broker/callout/holders.ts';
import type { Asked } from '../../plugins/broker/callout/service.ts';
import { keyFromSeed, publicFromHex } from '../../plugins/wire/tokens/ed25519.ts';
import { ed25519Verification } from '../../plugins/wire/tokens/jwt.ts';
import { makeServerToken } from '../../plugins/wire/tokens/server.ts';
import { clientToken, organizationSeed, publicOf, seedOf, signingKey } from '../support/tokens.ts';

const anchors = { signers: [ed25519Verification(publicFromHex(publicOf(organizationSeed)))] };
const holders = { reason: () => undefined, granted: () => undefined, ended: () => undefined };
const grants = holderGrants({ clients: anchors, servers: anchors }, { account: 'choria', domain: 'b1' }, holders);

function entering(token: string, holder: string) {
  const nonce = 'nonce-of-the-broker';
  const sig = sign(null, Buffer.from(nonce), keyFromSeed(seedOf(holder))).toString('base64url');
  return grants.grant({
    connect_opts: { auth_token: token, sig },
    client_info: { nonce },
    server_id: { id: 'N1' },
  } as unknown as Asked);
}

const nodeToken = (identity: string, more: { readonly collectives?: readonly string[]; readonly ou?: string } = {}) =>
  makeServerToken(
    { identity, publicKey: publicOf(seedOf('n1.test')), collectives: ['choria'], validitySeconds: 86_400, ...more },
    { key: signingKey(organizationSeed) },
  );

test('a node hears what is sent to it', async () => {
  const { subscribe } = await entering(await nodeToken('n1.test'), 'n1.test');
  expect(subscribe).toContain('choria.node.n1.test');
});

test.each([
  ['identity', () => nodeToken('*')],
  ['identity', () => nodeToken('>')],
  ['identity', () => nodeToken('n1.test group')],
  ['collective', () => nodeToken('n1.test', { collectives: ['*'] })],
  ['ou', () => nodeToken('n1.test', { ou: '*' })],
])('a node whose %s stands for those of others is refused', async (claim, token) => {
  await expect(entering(await token(), 'n1.test')).rejects.toThrow(`the ${claim} of the token is none that fits into a subject`);
});

test('a user whose organization stands for all is refused', async () => {
  const token = await clientToken('up=anna', { streams_user: true }, { ou: '*' });
  await expect(entering(token, 'up=anna')).rejects.toThrow('the ou of the token');
});
