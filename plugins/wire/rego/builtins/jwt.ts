// Tokens that policies look into: read, and their signatures checked with a key that the policy brings.

import { createHmac, createPublicKey, type KeyObject, timingSafeEqual, verify, X509Certificate } from 'node:crypto';
import { type Builtin, isObject, type Json, text, Undefined } from './values.ts';

const hashes = ['256', '384', '512'] as const;

export const jwtBuiltins: Readonly<Record<string, Builtin>> = {
  'io.jwt.decode': (token) => {
    const { header, payload, signature } = parts(token);
    return [objectIn(header), objectIn(payload), signature.toString('hex')];
  },
  'io.jwt.verify_eddsa': (token, key) => verified(token, key, (data, one, signature) => verify(null, data, one, signature)),
  ...Object.fromEntries(hashes.flatMap((bits) => Object.entries(ofHash(bits)))),
};

function ofHash(bits: (typeof hashes)[number]): Record<string, Builtin> {
  const hash = `sha${bits}`;
  const pss = { padding: 6, saltLength: Number(bits) / 8 };
  return {
    [`io.jwt.verify_hs${bits}`]: (token, secret) => {
      const { signed, signature } = parts(token);
      const right = createHmac(hash, text(secret)).update(signed).digest();
      return right.length === signature.length && timingSafeEqual(right, signature);
    },
    [`io.jwt.verify_rs${bits}`]: (token, key) =>
      verified(token, key, (data, one, signature) => one.asymmetricKeyType === 'rsa' && verify(hash, data, one, signature)),
    [`io.jwt.verify_ps${bits}`]: (token, key) =>
      verified(
        token,
        key,
        (data, one, signature) => one.asymmetricKeyType === 'rsa' && verify(hash, data, { key: one, ...pss }, signature),
      ),
    [`io.jwt.verify_es${bits}`]: (token, key) =>
      verified(
        token,
        key,
        (data, one, signature) =>
          one.asymmetricKeyType === 'ec' && verify(hash, data, { key: one, dsaEncoding: 'ieee-p1363' }, signature),
      ),
  };
}

function parts(token: Json | undefined): { header: string; payload: string; signed: string; signature: Buffer } {
  const [header, payload, signature, ...more] = text(token).split('.');
  if (header === undefined || payload === undefined || signature === undefined || more.length > 0)
    throw new Undefined('no token');
  if (![header, payload, signature].every((part) => /^[A-Za-z0-9_-]*$/.test(part))) throw new Undefined('no token');
  objectIn(header);
  return { header, payload, signed: `${header}.${payload}`, signature: Buffer.from(signature, 'base64url') };
}

function objectIn(part: string): Json {
  let value: Json = null;
  try {
    value = JSON.parse(Buffer.from(part, 'base64url').toString()) as Json;
  } catch {
    // Said below.
  }
  if (!isObject(value)) throw new Undefined('no object in the token');
  return value;
}

/** Whether one of the keys fits: in PEM, of a certificate, or a JWK or a set of them. */
function verified(
  token: Json | undefined,
  key: Json | undefined,
  check: (data: Buffer, key: KeyObject, signature: Buffer) => boolean,
): boolean {
  const { signed, signature } = parts(token);
  return keysIn(text(key)).some((one) => {
    try {
      return check(Buffer.from(signed), one, signature);
    } catch {
      return false;
    }
  });
}

function keysIn(source: string): KeyObject[] {
  try {
    if (source.includes('BEGIN CERTIFICATE')) return [new X509Certificate(source).publicKey];
    if (source.includes('-----BEGIN')) return [createPublicKey(source)];
    const value = JSON.parse(source) as { keys?: unknown };
    const keys = Array.isArray(value.keys) ? value.keys : [value];
    return keys.map((jwk) => createPublicKey({ key: jwk as never, format: 'jwk' }));
  } catch {
    throw new Undefined('no key');
  }
}
