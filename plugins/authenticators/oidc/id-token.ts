// Whether an ID token is of this provider, for us, fresh, and for the key of whoever sent it.

import { createHash } from 'node:crypto';
import type { JWTPayload } from 'jose';
import type { Provider } from './provider.ts';

export interface Expected {
  readonly issuer: string;
  readonly clientId: string;
  readonly algorithms: readonly string[];
  readonly maxAgeSeconds: number;
  /** Hex, of the key that the login is for. */
  readonly publicKey: string;
  /** Whether a token without a nonce is taken, as the device flow gives it. */
  readonly takesDevice: boolean;
}

export type IdClaims = JWTPayload & { readonly sub: string; readonly exp: number };

/** The message is for the log, and holds nothing of the token. */
export class IdTokenError extends Error {
  override readonly name = 'IdTokenError';
  readonly code = 'OIDC_TOKEN';
}

/** @throws IdTokenError, ProviderError */
export async function verifyIdToken(text: string, expected: Expected, provider: Provider): Promise<IdClaims> {
  const { jwtVerify } = await import('jose');
  const keys = await provider.keys();
  let claims: JWTPayload;
  try {
    claims = (
      await jwtVerify(text, keys, {
        issuer: expected.issuer,
        audience: expected.clientId,
        algorithms: [...expected.algorithms],
        requiredClaims: ['sub', 'exp', 'iat'],
        maxTokenAge: expected.maxAgeSeconds,
      })
    ).payload;
  } catch (error) {
    throw new IdTokenError(`the ID token is not good: ${(error as Error).message}`, { cause: error });
  }
  const { sub, exp, azp, aud, nonce } = claims;
  if (typeof sub !== 'string' || sub === '' || exp === undefined) throw new IdTokenError('the ID token names nobody');
  if (azp === undefined ? Array.isArray(aud) && aud.length > 1 : azp !== expected.clientId)
    throw new IdTokenError('the ID token was given to another client (azp)');
  if (nonce === undefined && !expected.takesDevice) throw new IdTokenError('the ID token has no nonce, and flows has no device');
  if (nonce !== undefined && nonce !== nonceFor(expected.publicKey))
    throw new IdTokenError('the ID token was given for another key (nonce)');
  return { ...claims, sub, exp };
}

/** So that an ID token of the code flow is good for one key. */
export function nonceFor(publicKey: string): string {
  return createHash('sha256').update(Buffer.from(publicKey, 'hex')).digest('base64url');
}

/** Whether the access token came with this ID token, where that says so. */
export function fitsAccessToken({ at_hash: hash }: IdClaims, accessToken: string, algorithm: string): boolean {
  if (typeof hash !== 'string') return true;
  const bits = algorithm === 'EdDSA' ? '512' : algorithm.slice(-3);
  const digest = createHash(`sha${bits}`).update(accessToken).digest();
  return digest.subarray(0, digest.length / 2).toString('base64url') === hash;
}
