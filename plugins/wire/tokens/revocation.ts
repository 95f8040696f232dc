// A statement that tokens are revoked, or good again, signed with the key of whoever issues them: the bucket that holds such
// statements can be written to by others as well.

import { createHash } from 'node:crypto';
import { type Revocation, validate } from '#schemas/muster/aaa/v1/revocation';
import { type TrustAnchors, verifyTrusted } from './anchors.ts';
import { type Issuer, issuedBy } from './chain.ts';
import type { ClientClaims } from './client.ts';
import { TokenError } from './errors.ts';
import { signToken } from './jwt.ts';
import { newKsuid } from './ksuid.ts';

export type { Revocation };

export type RevocationKind = Revocation['kind'];

export interface RevocationRequest {
  readonly action: Revocation['action'];
  readonly kind: RevocationKind;
  readonly value: string;
  readonly issuedUntil?: number | undefined;
  /** Seconds since 1970. */
  readonly until?: number | undefined;
  readonly reason?: string | undefined;
  readonly by?: string | undefined;
  /** Organization; that of a chain's issuer is its own. */
  readonly ou: string;
  /** The number of what was stated before of the same. */
  readonly after?: number | undefined;
  readonly now?: Date;
}

/** What of a token says whether it is meant; that of a node has no caller. */
export type TokenNames = Partial<Pick<ClientClaims, 'callerid' | 'jti' | 'iat' | 'auth_time' | 'iss' | 'ou'>> &
  Pick<ClientClaims, 'public_key'>;

const purpose = 'muster_revocation';
const issuerName = 'Muster Revocation';
/** A reason is a line of text. */
const mostBytes = 16_384;

export function makeRevocation(request: RevocationRequest, issuer: Issuer): Promise<string> {
  const { action, kind, value, issuedUntil, until, reason, by, after = 0, now = new Date() } = request;
  const iat = Math.floor(now.getTime() / 1000);
  const jti = newKsuid(iat);
  const { chain } = issuer;
  const claims = {
    purpose,
    action,
    kind,
    value,
    ...(issuedUntil !== undefined && { issued_until: issuedUntil }),
    ...(until !== undefined && { until }),
    ...(reason !== undefined && { reason }),
    ...(by !== undefined && { by }),
    // A clock that is behind must not make a later statement the older one.
    seq: Math.max(now.getTime(), after + 1),
    ou: chain?.ou ?? request.ou,
    iat,
    jti,
    ...(chain
      ? { public_key: chain.public_key, ...issuedBy(issuer, { jti, exp: until ?? chain.exp, issuer: issuerName }) }
      : { iss: issuerName, ...(until !== undefined && { exp: until }) }),
  };
  return signToken(claims, issuer.key);
}

/** @throws TokenError for what was not stated by one who is trusted, `TOKEN_EXPIRED` for what has ended */
export async function verifyRevocation(bytes: Uint8Array, trust: TrustAnchors, now = new Date()): Promise<Revocation> {
  if (bytes.length > mostBytes) throw new TokenError('TOKEN_FORMAT', `${bytes.length} bytes are no statement of a revocation`);
  const claims = await verifyTrusted(Buffer.from(bytes).toString('utf8'), trust, now);
  if (validate(claims)) return claims;
  const [error] = validate.errors ?? [];
  throw new TokenError(
    'TOKEN_CLAIMS',
    `it is no statement of a revocation: ${error?.instancePath.slice(1) ?? ''} ${error?.message ?? ''}`.replace(':  ', ': '),
  );
}

/**
 * Who speaks, as far as it matters for what is said: an issuer that an organization vouches for ends nothing but what it issued
 * itself, by its key, which stays when its own token is renewed.
 */
export function scopeOf({ iss, ou }: Pick<Revocation, 'iss' | 'ou'>): string {
  const key = chainKeyOf(iss);
  return key === undefined ? `ou ${ou}` : `key ${key}`;
}

/** What a statement of this issuer says of who speaks. */
export function speaker({ chain }: Issuer, ou: string): Pick<Revocation, 'iss' | 'ou'> {
  return chain ? { iss: `C-${chain.jti}.${chain.public_key}`, ou: chain.ou ?? ou } : { ou };
}

/** Where a statement is kept. Values hold what a key of a bucket may not, and nobody's statement takes the place of another's. */
export function revocationKey(revocation: Pick<Revocation, 'kind' | 'value' | 'iss' | 'ou'>): string {
  const { kind, value } = revocation;
  return `${kind}.${createHash('sha256')
    .update(`${scopeOf(revocation)}\n${value}`)
    .digest('hex')}`;
}

/** Whether whoever stated it may end this token, and means it, now. */
export function meansToken(revocation: Revocation, token: TokenNames, trust: TrustAnchors, nowMs: number): boolean {
  const { action, kind, ou, issued_until: issuedUntil } = revocation;
  if (action !== 'revoke' || hasEnded(revocation, nowMs)) return false;
  const key = chainKeyOf(revocation.iss);
  if (key !== undefined && key !== chainKeyOf(token.iss)) return false;
  // Keys that are trusted without organizations vouch for all of them.
  if ('issuers' in trust && token.ou !== ou) return false;
  if (kind !== 'callerid' || issuedUntil === undefined) return true;
  const { iat, auth_time: loggedIn = iat } = token;
  // Whoever refreshed a token meanwhile has not logged in again.
  return iat === undefined || loggedIn === undefined || Math.min(iat, loggedIn) <= issuedUntil;
}

export function hasEnded({ until, exp }: Pick<Revocation, 'until' | 'exp'>, nowMs: number): boolean {
  return Math.min(until ?? Number.POSITIVE_INFINITY, exp ?? Number.POSITIVE_INFINITY) * 1000 <= nowMs;
}

/** The key of an issuer that an organization vouches for; undefined for who signs by a trusted key itself. */
export function chainKeyOf(iss: string | undefined): string | undefined {
  return /^C-[^.]+\.([0-9a-f]{64})$/.exec(iss ?? '')?.[1];
}
