// Whether a login was made just now, by whoever holds the key that the token is for.

import { verifiesHex } from '../../wire/tokens/ed25519.ts';

const oldestMs = 60_000;

export interface Proof {
  readonly timestamp: string;
  /** Hex. */
  readonly publicKey: string;
  /** Hex, over `timestamp:` and the text. */
  readonly signature: string;
  readonly text: string;
}

/** What is wrong with it, for the log; undefined if it holds. Checked in this order, as Choria does. */
export function problemOfProof({ timestamp, publicKey, signature, text }: Proof, nowMs: number): string | undefined {
  if (publicKey === '') return 'there is no public key';
  if (!/^[+-]?\d{1,19}$/.test(timestamp)) return 'the timestamp is no whole number';
  const ageMs = nowMs - Number(timestamp) * 1_000;
  if (ageMs < 0) return 'it is dated in the future; compare the clocks';
  if (ageMs > oldestMs) return `it is older than ${oldestMs / 1_000} s; compare the clocks`;
  if (!/^[0-9a-f]{64}$/i.test(publicKey)) return 'the public key is not 32 bytes in hex';
  if (!/^[0-9a-f]{128}$/i.test(signature)) return 'the signature is not 64 bytes in hex';
  const holds = verifiesHex(`${timestamp}:${text}`, signature.toLowerCase(), publicKey.toLowerCase());
  return holds ? undefined : 'the signature does not fit';
}
