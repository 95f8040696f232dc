// Tokens that somebody issued in the name of an organization, and the signatures that prove it. Source: choria-io/tokens.

import { type ChainIssuerClaims, validate as validateIssuer } from '#schemas/choria/tokens/v1/chain_issuer';
import { publicFromHex, publicHex, signHex, verifiesHex } from './ed25519.ts';
import { TokenError } from './errors.ts';
import { type Claims, ed25519Verification, readUnverified, type SigningKey, type VerificationKey, verifyToken } from './jwt.ts';
import { ksuidSeconds } from './ksuid.ts';

/** One who issues tokens: by a key that is trusted itself, or by one that an organization vouches for. */
export interface Issuer {
  readonly key: SigningKey;
  readonly chain?: ChainIssuerClaims;
}

/** @param token of a client that may issue. @throws TokenError `TOKEN_CHAIN` if it may not, or the key is another's */
export async function chainIssuer(key: SigningKey, token: string): Promise<Issuer> {
  const claims = await readUnverified(token);
  if (!validateIssuer(claims)) throw chainError('the token of the issuer does not say that it may issue tokens (iss I-…, tcs)');
  if (key.algorithm !== 'EdDSA' || publicHex(key.key) !== claims.public_key)
    throw chainError('the key of the issuer does not belong to its token');
  if (!verifiesHex(`${claims.jti}.${claims.public_key}`, claims.tcs, claims.iss.slice(2)))
    throw chainError('the organization did not sign the token of the issuer');
  return { key, chain: claims };
}

/** What a token says of its issuer, and until when it may last. */
export function issuedBy(
  { key, chain }: Issuer,
  { jti, exp, issuer }: { readonly jti: string; readonly exp: number; readonly issuer: string },
): { iss: string; exp: number; issexp?: number; tcs?: string } {
  if (!chain) return { iss: issuer, exp };
  return {
    iss: `C-${chain.jti}.${chain.public_key}`,
    exp: Math.min(exp, chain.exp),
    issexp: chain.exp,
    tcs: `${chain.tcs}.${signHex(`${jti}.${chain.tcs}`, key.key)}`,
  };
}

/**
 * The claims of a token that this key signed, or one that its holder vouches for.
 * @throws TokenError as `verifyToken`, and `TOKEN_CHAIN`
 */
export async function verifyIssued(text: string, trusted: VerificationKey, now = new Date()): Promise<Claims> {
  const claims = await readUnverified(text);
  if (typeof claims.iss !== 'string' || !claims.iss.startsWith('C-')) return verifyToken(text, trusted, now);
  const key = keyOfChain(claims, trusted);
  const { issexp } = claims;
  if (typeof claims.exp !== 'number' || typeof issexp !== 'number')
    throw chainError('the token does not say when it and its issuer end (exp, issexp)');
  if (issexp * 1000 <= now.getTime()) throw new TokenError('TOKEN_EXPIRED', 'the token of the issuer has expired');
  return verifyToken(text, ed25519Verification(publicFromHex(key)), now);
}

/** The issuer's key, after every signature from the organization down to it. */
function keyOfChain({ iss, jti, iat, tcs, public_key: holder }: Claims, trusted: VerificationKey): string {
  const [, issuerId = '', issuerKey = ''] = /^C-([^.]+)\.([0-9a-f]{64})$/.exec(String(iss)) ?? [];
  if (issuerId === '' || typeof jti !== 'string' || typeof tcs !== 'string' || typeof holder !== 'string')
    throw chainError('the token lacks what proves its issuer (iss, jti, tcs, public_key)');
  if (typeof iat !== 'number' || ksuidSeconds(jti) !== iat)
    throw chainError('the id of the token was not made when the token was');
  const parts = tcs.split('.');
  const [byOrganization = '', byIssuer = ''] = parts;
  if (parts.length !== 2) throw chainError('the token does not hold two signatures (tcs)');
  if (trusted.key.asymmetricKeyType !== 'ed25519') throw chainError('only an organization with an ed25519 key has others issue');
  if (!verifiesHex(`${issuerId}.${issuerKey}`, byOrganization, publicHex(trusted.key)))
    throw chainError('the organization did not sign for the issuer of the token');
  if (!verifiesHex(`${jti}.${byOrganization}`, byIssuer, issuerKey)) throw chainError('the issuer did not sign for the token');
  return issuerKey;
}

function chainError(message: string): TokenError {
  return new TokenError('TOKEN_CHAIN', message);
}
