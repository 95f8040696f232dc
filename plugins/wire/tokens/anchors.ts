// Whose signatures count: those of an organization for its own tokens, or those of several keys.

import { verifyIssued } from './chain.ts';
import { TokenError } from './errors.ts';
import { type Claims, readUnverified, type VerificationKey } from './jwt.ts';

export type TrustAnchors =
  | { readonly issuers: ReadonlyMap<string, VerificationKey> }
  | { readonly signers: readonly VerificationKey[] };

/** The claims of a token that is good now by one of the keys. @throws TokenError */
export async function verifyTrusted(text: string, trust: TrustAnchors, now = new Date()): Promise<Claims> {
  let failure: unknown = new TokenError('TOKEN_KEY', 'no key is known here that tokens are verified with');
  for (const key of await keysFor(text, trust)) {
    try {
      return await verifyIssued(text, key, now);
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      failure = error;
      // Whose signature holds is no other key's.
      if (error.code !== 'TOKEN_SIGNATURE' && error.code !== 'TOKEN_CHAIN') break;
    }
  }
  throw failure;
}

/** @throws TokenError `TOKEN_SIGNATURE` for a token of an organization that is not trusted */
async function keysFor(text: string, trust: TrustAnchors): Promise<readonly VerificationKey[]> {
  if ('signers' in trust) return trust.signers;
  const { ou } = await readUnverified(text);
  const key = typeof ou === 'string' ? trust.issuers.get(ou) : undefined;
  if (key) return [key];
  throw new TokenError(
    'TOKEN_SIGNATURE',
    `the token is of the organization ${JSON.stringify(ou)?.slice(0, 60) ?? 'none'}, of which no key is known here`,
  );
}
