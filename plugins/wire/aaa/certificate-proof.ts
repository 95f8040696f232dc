// What the key of a certificate signs in a login, and how.

import { type KeyObject, sign, verify } from 'node:crypto';

const shortestRsa = 2_048;
const curves = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

/** @param publicKey hex, of the key that the token is for */
export function certificateText(timestamp: string | number, username: string, publicKey: string): string {
  return `${timestamp}:certificate:${username}:${publicKey}`;
}

/** Base64. */
export function signWithCertificate(text: string, key: KeyObject): string {
  return sign(digestFor(key), Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64');
}

/** What is wrong with the key or the signature; undefined if it holds. */
export function problemOfSignature(text: string, signature: string, key: KeyObject): string | undefined {
  const weakness = weaknessOf(key);
  if (weakness !== undefined) return weakness;
  const bytes = Buffer.from(signature, 'base64');
  const holds = verify(digestFor(key), Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }, bytes);
  return holds ? undefined : 'the key of the certificate did not sign this login';
}

function digestFor({ asymmetricKeyType }: KeyObject): string | null {
  return asymmetricKeyType === 'ed25519' ? null : 'sha256';
}

function weaknessOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): string | undefined {
  if (type === 'ed25519') return undefined;
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= shortestRsa) return undefined;
  if (type === 'ec' && curves.has(details?.namedCurve ?? '')) return undefined;
  return `the key of the certificate is ${type ?? 'unknown'} of a size or curve that is not accepted`;
}
