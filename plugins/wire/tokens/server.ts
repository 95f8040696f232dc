// Tokens of nodes. Source: choria-io/tokens, and the claims that Choria's provisioner gives.

import { type ServerClaims, validate } from '#schemas/choria/tokens/v1/server';
import { type TrustAnchors, verifyTrusted } from './anchors.ts';
import { type Issuer, issuedBy } from './chain.ts';
import { TokenError } from './errors.ts';
import { signToken, type VerificationKey } from './jwt.ts';
import { newKsuid } from './ksuid.ts';

export type { ServerClaims };

/** A node is not sent away with a token that ends within the hour. */
const shortestSeconds = 3_600;

export interface ServerTokenRequest {
  readonly identity: string;
  /** Hex. */
  readonly publicKey: string;
  readonly collectives: readonly string[];
  readonly ou?: string;
  readonly permissions?: ServerClaims['permissions'];
  readonly pubSubjects?: readonly string[];
  /** Seconds since 1970. A life of an hour or less, or none, becomes `validitySeconds`. */
  readonly expires?: number;
  readonly validitySeconds: number;
  readonly now?: Date;
}

export function makeServerToken(request: ServerTokenRequest, issuer: Issuer): Promise<string> {
  const { identity, publicKey, collectives, ou = 'choria', permissions, pubSubjects, expires = 0, validitySeconds } = request;
  const now = Math.floor((request.now ?? new Date()).getTime() / 1000);
  const jti = newKsuid(now);
  const exp = expires - now > shortestSeconds ? expires : now + validitySeconds;
  const granted = Object.entries(permissions ?? {}).filter(([, value]) => value);
  const claims = {
    identity,
    collectives,
    ou,
    ...(granted.length > 0 && { permissions: Object.fromEntries(granted) }),
    ...(pubSubjects && pubSubjects.length > 0 && { pub_subjects: pubSubjects }),
    purpose: 'choria_server',
    public_key: publicKey,
    ...issuedBy(issuer, { jti, exp, issuer: 'Choria Provisioner' }),
    nbf: now,
    iat: now,
    jti,
  };
  return signToken(claims, issuer.key);
}

/** @param trusted a key, or several. @throws TokenError */
export async function verifyServerToken(
  text: string,
  trusted: VerificationKey | TrustAnchors,
  now = new Date(),
): Promise<ServerClaims> {
  const claims = await verifyTrusted(text, 'key' in trusted ? { signers: [trusted] } : trusted, now);
  if (!validate(claims)) {
    const [error] = validate.errors ?? [];
    throw new TokenError(
      'TOKEN_CLAIMS',
      `the token is none of a node: ${error?.instancePath.slice(1) ?? ''} ${error?.message ?? ''}`,
    );
  }
  if (claims.tcs !== undefined && !claims.iss?.startsWith('C-'))
    throw new TokenError('TOKEN_CHAIN', 'the token holds signatures of a chain (tcs) and no issuer that belongs to one');
  return claims;
}

/** When it ends, in seconds since 1970: the token, or that of its issuer. */
export function endOf({ exp, issexp }: Pick<ServerClaims, 'exp' | 'issexp'>): number | undefined {
  const ends = [exp, issexp].filter((end) => end !== undefined);
  return ends.length === 0 ? undefined : Math.min(...ends);
}
