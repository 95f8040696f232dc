// KSUIDs: ids that begin with the second in which they were made. Source: segmentio/ksuid, and its use in Choria's tokens.

import { randomBytes } from 'node:crypto';

const epoch = 1_400_000_000;
const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const length = 27;
const base = 62n;
/** 20 bytes. */
const limit = 1n << 160n;

/** @param seconds since 1970 */
export function newKsuid(seconds: number, random: Uint8Array = randomBytes(16)): string {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(seconds - epoch);
  let value = BigInt(`0x${Buffer.concat([head, random]).toString('hex')}`);
  let text = '';
  while (value > 0n) {
    text = (digits[Number(value % base)] ?? '') + text;
    value /= base;
  }
  return text.padStart(length, '0');
}

/** The second since 1970 in it; undefined if it is no KSUID. */
export function ksuidSeconds(text: string): number | undefined {
  if (!/^[0-9A-Za-z]{27}$/.test(text)) return undefined;
  let value = 0n;
  for (const digit of text) value = value * base + BigInt(digits.indexOf(digit));
  return value < limit ? Number(value >> 128n) + epoch : undefined;
}
