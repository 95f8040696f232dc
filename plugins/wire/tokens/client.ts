// Tokens of users and of other clients. Source: choria-io/tokens, and the claims that Choria's AAA service gives.

import { type ClientClaims, validate } from '#schemas/choria/tokens/v1/client';
import { type TrustAnchors, verifyTrusted } from './anchors.ts';
import { type Issuer, issuedBy } from './chain.ts';
import { TokenError } from './errors.ts';
import { type Claims, readUnverified, signToken } from './jwt.ts';
import { newKsuid } from './ksuid.ts';

export type { ClientClaims, TrustAnchors };

export type ClientPermissions = NonNullable<ClientClaims['permissions']>;

export interface ClientTokenRequest {
  readonly callerid: string;
  /** Hex. */
  readonly publicKey: string;
  /** Default `choria`. */
  readonly ou?: string;
  readonly tenant?: string;
  readonly agents?: readonly string[];
  readonly opaPolicy?: string;
  readonly userProperties?: Readonly<Record<string, string>>;
  readonly permissions?: Readonly<Record<string, boolean>>;
  readonly pubSubjects?: readonly string[];
  readonly subSubjects?: readonly string[];
  /** When the user showed who he is, in seconds since 1970. */
  readonly authTime?: number;
  readonly validitySeconds: number;
  /** Claim `iss` of a token that is not chained. Default `Choria Userlist Authenticator`. */
  readonly issuerName?: string;
  readonly now?: Date;
}

export function makeClientToken(request: ClientTokenRequest, issuer: Issuer): Promise<string> {
  const { callerid, publicKey, ou = 'choria', tenant, agents = [], opaPolicy, userProperties = {}, permissions = {} } = request;
  const { pubSubjects = [], subSubjects = [], authTime, validitySeconds, issuerName = 'Choria Userlist Authenticator' } = request;
  const now = Math.floor((request.now ?? new Date()).getTime() / 1000);
  const jti = newKsuid(now);
  const granted = Object.entries(permissions).filter(([, value]) => value);
  const claims = {
    callerid,
    ...(agents.length > 0 && { agents }),
    ou,
    ...(tenant !== undefined && { tenant }),
    ...(Object.keys(userProperties).length > 0 && { user_properties: userProperties }),
    ...(opaPolicy !== undefined && opaPolicy !== '' && { opa_policy: opaPolicy }),
    ...(granted.length > 0 && { permissions: Object.fromEntries(granted) }),
    ...(pubSubjects.length > 0 && { pub_subjects: pubSubjects }),
    ...(subSubjects.length > 0 && { sub_subjects: subSubjects }),
    ...(authTime !== undefined && { auth_time: authTime }),
    purpose: 'choria_client_id',
    public_key: publicKey,
    ...issuedBy(issuer, { jti, exp: now + validitySeconds, issuer: issuerName }),
    nbf: now,
    iat: now,
    jti,
  };
  return signToken(claims, issuer.key);
}

/** As its holder reads it, whoever signed it. @throws TokenError `TOKEN_FORMAT`, `TOKEN_CLAIMS` */
export async function readClientToken(text: string): Promise<ClientClaims> {
  return checked(await readUnverified(text));
}

/**
 * The claims of a client's token that is trusted and good now. A token need not say when it ends.
 * @throws TokenError
 */
export async function verifyClientToken(text: string, trust: TrustAnchors, now = new Date()): Promise<ClientClaims> {
  const claims = checked(await verifyTrusted(text, trust, now));
  if (claims.iat !== undefined && claims.iat * 1000 > now.getTime())
    throw new TokenError('TOKEN_NOT_YET', 'the token was issued in the future; compare the clocks');
  return claims;
}

/** The caller that nodes get to see: `@` and `.` of the claim become `_`. Source: Choria's AAA service. */
export function callerOf({ callerid }: Pick<ClientClaims, 'callerid'>): string {
  return callerid.replaceAll(/[@.]/g, '_');
}

function checked(claims: Claims): ClientClaims {
  if (validate(claims)) return claims;
  const [error] = validate.errors ?? [];
  throw new TokenError(
    'TOKEN_CLAIMS',
    `the token is none of a client: ${error?.instancePath.slice(1) ?? ''} ${error?.message ?? ''}`.replace(':  ', ': '),
  );
}
