// JSON Web Tokens with the algorithms that Choria takes, by jose, which is loaded when the first token comes.

import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { isHexKey, keyFromSeed, publicFromHex } from './ed25519.ts';
import { TokenError } from './errors.ts';

export interface SigningKey {
  readonly algorithm: 'EdDSA' | 'RS256';
  readonly key: KeyObject;
}

export interface VerificationKey {
  /** What a token may be signed with, so that no token chooses by itself. */
  readonly algorithms: readonly string[];
  readonly key: KeyObject;
}

export type Claims = Readonly<Record<string, unknown>>;

const rsaAlgorithms = ['RS256', 'RS384', 'RS512'];
/** Tokens have some hundred bytes, with a policy some thousand. */
const mostCharacters = 262_144;

/** A seed of 64 hex digits, or an RSA key in PEM. @throws TokenError `TOKEN_KEY` naming the file */
export function readSigningKey(file: string): SigningKey {
  const text = read(file);
  if (isHexKey(text)) return { algorithm: 'EdDSA', key: keyFromSeed(text) };
  try {
    const key = createPrivateKey(text);
    if (key.asymmetricKeyType === 'rsa') return { algorithm: 'RS256', key };
    if (key.asymmetricKeyType === 'ed25519') return { algorithm: 'EdDSA', key };
  } catch (error) {
    throw new TokenError('TOKEN_KEY', `${file} is neither a seed of 64 hex digits nor a private key in PEM`, { cause: error });
  }
  throw new TokenError('TOKEN_KEY', `${file} holds a key that is neither RSA nor ed25519`);
}

/** A file with a certificate or public key in PEM or with 64 hex digits; without such a file the value itself is the key in hex. */
export function readVerificationKey(fileOrHex: string): VerificationKey {
  if (!existsSync(fileOrHex)) {
    if (isHexKey(fileOrHex)) return ed25519Verification(publicFromHex(fileOrHex));
    throw new TokenError('TOKEN_KEY', `there is no file ${fileOrHex}, and it is no key of 64 hex digits either`);
  }
  const text = read(fileOrHex);
  if (isHexKey(text)) return ed25519Verification(publicFromHex(text));
  try {
    const key = text.includes('BEGIN CERTIFICATE') ? new X509Certificate(text).publicKey : createPublicKey(text);
    if (key.asymmetricKeyType === 'rsa') return { algorithms: rsaAlgorithms, key };
    if (key.asymmetricKeyType === 'ed25519') return ed25519Verification(key);
  } catch (error) {
    throw new TokenError('TOKEN_KEY', `${fileOrHex} is neither a certificate or public key in PEM nor a key of 64 hex digits`, {
      cause: error,
    });
  }
  throw new TokenError('TOKEN_KEY', `${fileOrHex} holds a key that is neither RSA nor ed25519`);
}

export function ed25519Verification(key: KeyObject): VerificationKey {
  return { algorithms: ['EdDSA'], key };
}

/** The claims go in as they are, in their order. */
export async function signToken(claims: Claims, { algorithm, key }: SigningKey): Promise<string> {
  const { SignJWT } = await import('jose');
  return new SignJWT({ ...claims }).setProtectedHeader({ alg: algorithm, typ: 'JWT' }).sign(key);
}

/**
 * The claims of a token whose signature, `exp` and `nbf` hold. There is no leeway.
 * @throws TokenError `TOKEN_FORMAT`, `TOKEN_SIGNATURE`, `TOKEN_EXPIRED`, `TOKEN_NOT_YET`
 */
export async function verifyToken(text: string, { algorithms, key }: VerificationKey, now = new Date()): Promise<Claims> {
  const { jwtVerify, errors } = await import('jose');
  const token = trimmed(text);
  try {
    return (await jwtVerify(token, key, { algorithms: [...algorithms], currentDate: now })).payload;
  } catch (error) {
    const cause = { cause: error };
    if (error instanceof errors.JWTExpired)
      throw new TokenError('TOKEN_EXPIRED', `the token has expired${timeOf(error.payload.exp)}`, cause);
    if (error instanceof errors.JWTClaimValidationFailed)
      throw error.claim === 'nbf'
        ? new TokenError('TOKEN_NOT_YET', `the token is not yet valid${timeOf(error.payload.nbf)}; compare the clocks`, cause)
        : new TokenError('TOKEN_CLAIMS', `the token has a ${error.claim} that is none`, cause);
    if (error instanceof errors.JOSEAlgNotAllowed)
      throw new TokenError(
        'TOKEN_SIGNATURE',
        `the token is not signed by ${algorithms.join(' or ')}, as its issuer's key has it`,
        cause,
      );
    if (error instanceof errors.JWSSignatureVerificationFailed)
      throw new TokenError(
        'TOKEN_SIGNATURE',
        'the token was not signed by the issuer that is trusted here, or was altered',
        cause,
      );
    throw new TokenError('TOKEN_FORMAT', `the token can not be read: ${(error as Error).message}`, cause);
  }
}

/** The claims, whoever signed them. @throws TokenError `TOKEN_FORMAT` */
export async function readUnverified(text: string): Promise<Claims> {
  const { decodeJwt } = await import('jose');
  try {
    return decodeJwt(trimmed(text));
  } catch (error) {
    throw new TokenError('TOKEN_FORMAT', 'this is no JSON Web Token; it has three parts of base64url with dots between', {
      cause: error,
    });
  }
}

/** What a token is known by: some signatures can be written in several ways, and what they sign can not. */
export function signedPart(token: string): string {
  return token.slice(0, Math.max(0, token.lastIndexOf('.')));
}

/** Token files may end in a line break, which is no part of the token. */
export function trimmed(text: string): string {
  if (text.length > mostCharacters)
    throw new TokenError('TOKEN_FORMAT', `a token of ${text.length} characters is not read; ${mostCharacters} are the most`);
  return text.trim();
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new TokenError('TOKEN_KEY', `the key ${file} can not be read: ${(error as Error).message}`, { cause: error });
  }
}

function timeOf(seconds: unknown): string {
  return typeof seconds === 'number' && Math.abs(seconds) < 8e12 ? ` (${new Date(seconds * 1000).toISOString()})` : '';
}
