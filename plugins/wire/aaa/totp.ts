// Codes that change with time (RFC 6238), by otpauth, and what enrols a user for them.

import { randomBytes, timingSafeEqual } from 'node:crypto';

export const periodSeconds = 30;
const digits = 6;
const secretBytes = 20;
/** Base32 without what is mistaken for something else. */
const alphabet = 'abcdefghjkmnpqrstuvwxyz23456789';

export function newTotpSecret(): Uint8Array {
  return randomBytes(secretBytes);
}

/** The step at which this was the code: the current one or the one before. Undefined if it is no code of now. */
export async function stepOfCode(secret: Uint8Array, code: string, nowSeconds: number): Promise<number | undefined> {
  const current = Math.floor(nowSeconds / periodSeconds);
  let found: number | undefined;
  // Both are computed and compared, whatever the first says.
  for (const step of [current - 1, current]) if (isSame(await codeAt(secret, step), code)) found = step;
  return found;
}

export async function codeAt(secret: Uint8Array, step: number): Promise<string> {
  const { HOTP, Secret } = await import('otpauth');
  return HOTP.generate({ secret: new Secret({ buffer: bufferOf(secret) }), counter: step, digits, algorithm: 'SHA1' });
}

/** What an authenticator app takes, mostly as a picture. */
export async function enrolmentUri(secret: Uint8Array, user: string): Promise<string> {
  const { TOTP, Secret } = await import('otpauth');
  const secretOf = new Secret({ buffer: bufferOf(secret) });
  return new TOTP({ issuer: 'Muster', label: user, secret: secretOf, digits, period: periodSeconds }).toString();
}

/** Such as `abcde-fgh23`: 49 bits. */
export function newRecoveryCode(): string {
  const letters = Array.from({ length: 10 }, () => letter()).join('');
  return `${letters.slice(0, 5)}-${letters.slice(5)}`;
}

export function isRecoveryCode(text: string): boolean {
  return /^[a-z2-9]{5}-?[a-z2-9]{5}$/i.test(text);
}

/**
 * A code that stands behind a password in one field: six digits, or a recovery code after a blank. That one has its dash there, or the
 * last word of a password with a code behind it could be taken for one.
 */
export function splitCode(typed: string): { readonly password: string; readonly code: string | undefined } {
  const at = typed.lastIndexOf(' ');
  const word = typed.slice(at + 1);
  if (at !== -1 && word.includes('-') && isRecoveryCode(word)) return { password: typed.slice(0, at), code: word };
  if (/\d{6}$/.test(typed)) return { password: typed.slice(0, -6), code: typed.slice(-6) };
  return { password: typed, code: undefined };
}

function letter(): string {
  for (;;) {
    // Numbers past the last whole multiple would favour the first letters.
    const [number = 0] = randomBytes(1);
    if (number < 256 - (256 % alphabet.length)) return alphabet[number % alphabet.length] ?? '';
  }
}

function isSame(code: string, given: string): boolean {
  const [a, b] = [Buffer.from(code), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}
