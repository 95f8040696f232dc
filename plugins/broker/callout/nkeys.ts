// Keys and tokens as nats-server writes them. node:crypto signs: the published libraries sign in plain JavaScript, which
// takes longer than all else when thousands of nodes connect at once.

import { createHash, type KeyObject, sign } from 'node:crypto';
import { publicHex } from '../../wire/tokens/ed25519.ts';

/** First byte of a public key by what it belongs to. */
const prefixes = { account: 0, user: 20 };
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const header = Buffer.from(JSON.stringify({ typ: 'JWT', alg: 'ed25519-nkey' })).toString('base64url');

/** `A…`: the public key of an account, whose private key is an ed25519 key. */
export function accountName(key: KeyObject): string {
  return nameOf(key, prefixes.account);
}

/** `U…`: the public key of a user. */
export function userName(key: KeyObject): string {
  return nameOf(key, prefixes.user);
}

function nameOf(key: KeyObject, prefix: number): string {
  const body = Buffer.concat([Buffer.from([prefix << 3]), Buffer.from(publicHex(key), 'hex')]);
  const checksum = Buffer.alloc(2);
  checksum.writeUInt16LE(crc16(body));
  return base32(Buffer.concat([body, checksum]));
}

/** A token of nats-server, signed by an account. */
export function signNatsToken(
  claims: Readonly<Record<string, unknown>>,
  issuer: string,
  key: KeyObject,
  now = new Date(),
): string {
  const issued = { ...claims, iss: issuer, iat: Math.floor(now.getTime() / 1000) };
  const jti = base32(createHash('sha256').update(JSON.stringify(issued)).digest());
  const signed = `${header}.${Buffer.from(JSON.stringify({ ...issued, jti })).toString('base64url')}`;
  return `${signed}.${sign(null, Buffer.from(signed), key).toString('base64url')}`;
}

/** The claims of a token that came from where only nats-server can publish. @throws SyntaxError if it is none */
export function readNatsToken(text: string): unknown {
  const [, claims = ''] = text.split('.');
  return JSON.parse(Buffer.from(claims, 'base64url').toString());
}

function base32(bytes: Buffer): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xffff;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += alphabet[(value >> (bits - 5)) & 31];
  }
  return bits > 0 ? text + alphabet[(value << (5 - bits)) & 31] : text;
}

/** CRC-16/XMODEM. */
function crc16(bytes: Buffer): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}
