// Keys and tokens of protocol v2 for tests: an organization, and those whom it gives tokens to.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chainIssuer, type Issuer } from '../../plugins/wire/tokens/chain.ts';
import { type ClientTokenRequest, makeClientToken } from '../../plugins/wire/tokens/client.ts';
import { keyFromSeed, publicHex, signHex } from '../../plugins/wire/tokens/ed25519.ts';
import { type SigningKey, signToken } from '../../plugins/wire/tokens/jwt.ts';
import { newKsuid } from '../../plugins/wire/tokens/ksuid.ts';
import { makeRevocation, type RevocationRequest, revocationKey, speaker } from '../../plugins/wire/tokens/revocation.ts';
import { makeServerToken } from '../../plugins/wire/tokens/server.ts';

export const organizationSeed = '11'.repeat(32);
export const signingKey = (seed: string): SigningKey => ({ algorithm: 'EdDSA', key: keyFromSeed(seed) });
export const publicOf = (seed: string): string => publicHex(keyFromSeed(seed));

/** A key of its own for each name. */
export const seedOf = (name: string): string => Buffer.from(name.padEnd(32, '.').slice(0, 32)).toString('hex');

/** Token of a user or of a delegator, by the organization unless another key is given. */
export function clientToken(
  callerid: string,
  permissions: Readonly<Record<string, boolean>>,
  more: Partial<ClientTokenRequest> & { readonly by?: string } = {},
): Promise<string> {
  const { by = organizationSeed, ...claims } = more;
  return makeClientToken(
    { callerid, publicKey: publicOf(seedOf(callerid)), permissions, validitySeconds: 3_600, ...claims },
    { key: signingKey(by) },
  );
}

export function serverToken(identity: string): Promise<string> {
  return makeServerToken(
    { identity, publicKey: publicOf(seedOf(identity)), collectives: ['choria'], validitySeconds: 86_400 },
    { key: signingKey(organizationSeed) },
  );
}

/** Configuration of one who has this token, and trusts the organization. */
export function tokenConfig(folder: string, name: string, token: string): Record<string, string> {
  mkdirSync(folder, { recursive: true });
  const [tokenFile, seedFile] = [join(folder, `${name}.jwt`), join(folder, `${name}.key`)];
  writeFileSync(tokenFile, token);
  writeFileSync(seedFile, seedOf(name));
  return {
    'plugin.security.provider': 'choria',
    'plugin.security.choria.token_file': tokenFile,
    'plugin.security.choria.seed_file': seedFile,
    'plugin.security.issuer.names': 'choria',
    'plugin.security.issuer.choria.public': publicOf(organizationSeed),
  };
}

/** The token by which the organization vouches for an issuer with this seed. */
export function chainToken(seed: string, { by = organizationSeed, ou = 'choria' } = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const jti = newKsuid(now);
  const claims = {
    callerid: 'up=login',
    ou,
    purpose: 'choria_client_id',
    public_key: publicOf(seed),
    iss: `I-${publicOf(by)}`,
    tcs: signHex(`${jti}.${publicOf(seed)}`, keyFromSeed(by)),
    jti,
    iat: now,
    exp: now + 86_400,
  };
  return signToken(claims, signingKey(by));
}

export async function chainOf(seed: string): Promise<Issuer> {
  return chainIssuer(signingKey(seed), await chainToken(seed));
}

/** A signed statement about tokens, and where it belongs; by the organization unless another issuer is given. */
export async function revocation(
  request: Partial<RevocationRequest> & Pick<RevocationRequest, 'kind' | 'value'>,
  issuer: Issuer = { key: signingKey(organizationSeed) },
): Promise<{ readonly key: string; readonly value: Buffer }> {
  const ou = request.ou ?? 'choria';
  const text = await makeRevocation({ action: 'revoke', ou, ...request }, issuer);
  return { key: revocationKey({ ...request, ...speaker(issuer, ou) }), value: Buffer.from(text) };
}
