// Ed25519 keys and signatures as Choria writes them: 32 bytes in lower-case hex, without the armour that OpenSSL puts around.

import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { TokenError } from './errors.ts';

const hex32 = /^[0-9a-f]{64}$/;
const privatePrefix = Buffer.from('302e020100300506032b657004220420', 'hex');
const publicPrefix = Buffer.from('302a300506032b6570032100', 'hex');

export function isHexKey(text: string): boolean {
  return hex32.test(text);
}

/** @throws TokenError `TOKEN_KEY` */
export function keyFromSeed(seed: string): KeyObject {
  if (!isHexKey(seed)) throw new TokenError('TOKEN_KEY', 'a seed has 64 hex digits in lower case');
  return createPrivateKey({ key: Buffer.concat([privatePrefix, Buffer.from(seed, 'hex')]), format: 'der', type: 'pkcs8' });
}

/** @throws TokenError `TOKEN_KEY` */
export function publicFromHex(hex: string): KeyObject {
  if (!isHexKey(hex)) throw new TokenError('TOKEN_KEY', 'a public key has 64 hex digits in lower case');
  return createPublicKey({ key: Buffer.concat([publicPrefix, Buffer.from(hex, 'hex')]), format: 'der', type: 'spki' });
}

/** Of a private or public key. */
export function publicHex(key: KeyObject): string {
  const { x = '' } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  return Buffer.from(x, 'base64url').toString('hex');
}

export function seedHex(key: KeyObject): string {
  const { d = '' } = key.export({ format: 'jwk' });
  return Buffer.from(d, 'base64url').toString('hex');
}

/** 128 hex digits over the text's bytes. */
export function signHex(text: string, key: KeyObject): string {
  return sign(null, Buffer.from(text), key).toString('hex');
}

/** False as well for a signature or a key that is none. */
export function verifiesHex(text: string, signature: string, publicKey: string): boolean {
  if (!/^[0-9a-f]{128}$/.test(signature) || !isHexKey(publicKey)) return false;
  return verify(null, Buffer.from(text), publicFromHex(publicKey), Buffer.from(signature, 'hex'));
}
