// Provisioning tokens: what lets a machine without a configuration find its provisioner. Source: choria-io/tokens.

import { type ProvisioningClaims, validate } from '#schemas/choria/tokens/v1/provisioning';
import { TokenError } from './errors.ts';
import { type Claims, readUnverified, type SigningKey, signToken, type VerificationKey, verifyToken } from './jwt.ts';
import { newKsuid } from './ksuid.ts';

export type { ProvisioningClaims };

const purpose = 'choria_provisioning';
export const defaultIssuer = 'Choria Tokens Package';

/** As a node reads it, whoever signed it. @throws TokenError `TOKEN_FORMAT`, `TOKEN_CLAIMS` */
export async function readProvisioningToken(text: string): Promise<ProvisioningClaims> {
  return checked(await readUnverified(text));
}

/** As broker and provisioner read it. @throws TokenError */
export async function verifyProvisioningToken(text: string, key: VerificationKey, now = new Date()): Promise<ProvisioningClaims> {
  return checked(await verifyToken(text, key, now));
}

/** Where the provisioner is: brokers, or the domain whose SRV records name them. @throws TokenError `TOKEN_CLAIMS` for both or neither */
export function provisioningTarget({ chu = '', chsrv = '' }: ProvisioningClaims): { urls: string[] } | { domain: string } {
  if (chu !== '' && chsrv !== '') throw claimsError('names brokers (chu) and a domain (chsrv); it may name one of them only');
  if (chsrv !== '') return { domain: chsrv };
  const urls = chu
    .split(',')
    .map((url) => url.trim())
    .filter((url) => url !== '');
  if (urls.length === 0) throw claimsError('names neither brokers (chu) nor a domain (chsrv)');
  return { urls: urls.map(brokerUrl) };
}

export interface ProvisioningTokenRequest {
  readonly claims: Omit<ProvisioningClaims, 'purpose' | 'sub' | 'iss' | 'iat' | 'nbf' | 'exp' | 'jti'>;
  readonly validitySeconds: number;
  readonly issuer?: string;
  readonly now?: Date;
}

/** @throws TokenError `TOKEN_CLAIMS` for claims that no node could use */
export function makeProvisioningToken(
  { claims, validitySeconds, issuer = defaultIssuer, now = new Date() }: ProvisioningTokenRequest,
  key: SigningKey,
): Promise<string> {
  const seconds = Math.floor(now.getTime() / 1000);
  const { cht, chs = false, chpd = false, extensions = null, ou = 'choria', ...optional } = claims;
  const all = {
    cht,
    chs,
    chpd,
    extensions,
    ou,
    // Empty words and what is not so are left out, as Choria does.
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== '' && value !== false && value !== undefined)),
    purpose,
    sub: purpose,
    iss: issuer,
    iat: seconds,
    nbf: seconds,
    exp: seconds + validitySeconds,
    jti: newKsuid(seconds),
  };
  provisioningTarget(checked(all));
  return signToken(all, key);
}

function checked(claims: Claims): ProvisioningClaims {
  if (claims.purpose !== purpose && !(claims.purpose === undefined && claims.sub === purpose))
    throw claimsError(`is none for provisioning; its purpose is ${JSON.stringify(claims.purpose)?.slice(0, 40) ?? 'not told'}`);
  if (validate(claims)) return claims;
  const [error] = validate.errors ?? [];
  throw claimsError(`has claims that can not be used: ${error?.instancePath.slice(1) ?? ''} ${error?.message ?? ''}`.trimEnd());
}

function brokerUrl(text: string): string {
  const url = text.includes('://') ? text : `nats://${text}`;
  const { port, hostname } = URL.canParse(url) ? new URL(url) : { port: '', hostname: '' };
  if (port === '' || hostname === '') throw claimsError(`names the broker '${text}'; brokers are written host:port`);
  return url;
}

function claimsError(what: string): TokenError {
  return new TokenError('TOKEN_CLAIMS', `the provisioning token ${what}`);
}
