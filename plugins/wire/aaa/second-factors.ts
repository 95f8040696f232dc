// The file with second factors of users: secrets encrypted, recovery codes as keyed hashes. The service only reads it.

import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { type SecondFactor, type SecondFactors, validate } from '#schemas/muster/aaa/v1/second_factors';
import { writeWhole } from '../whole-file.ts';
import { AaaError } from './errors.ts';

export type { SecondFactor, SecondFactors };

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;

export function readSecondFactors(text: string, file: string): SecondFactors {
  let value: unknown;
  try {
    value = JSON.parse(text) as unknown;
  } catch {
    throw problem(`${file} is not JSON; it must be what \`muster aaa user totp\` writes`);
  }
  if (validate(value)) return value;
  const [error] = validate.errors ?? [];
  throw problem(`${file}: ${error?.instancePath.slice(1) ?? ''} ${error?.message ?? 'does not fit'}`);
}

/** 32 bytes in hex, in a file of their own. @throws AaaError `AAA_SECOND_FACTOR` */
export function readFactorKey(file: string): Buffer {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw problem(`the key of second factors can not be read: ${(error as Error).message}`);
  }
  if (!/^[0-9a-f]{64}$/.test(text)) throw problem(`${file} is no key of second factors, which has 64 hex digits in lower case`);
  return Buffer.from(text, 'hex');
}

/** Makes the key if there is none. */
export function ensureFactorKey(file: string): Buffer {
  if (!existsSync(file)) writeWhole(file, randomBytes(32).toString('hex'), 0o600);
  return readFactorKey(file);
}

export function sealFactor(
  caller: string,
  { secret, recoveryCodes }: { readonly secret: Uint8Array; readonly recoveryCodes: readonly string[] },
  key: Buffer,
): SecondFactor {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(algorithm, key, nonce).setAAD(Buffer.from(caller));
  const sealed = Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
  return {
    secret: sealed.toString('base64url'),
    recovery: recoveryCodes.map((code) => recoveryHash(caller, code, key)),
    created: new Date().toISOString(),
  };
}

/** @throws AaaError `AAA_SECOND_FACTOR` if it was sealed with another key or for another user */
export function openFactor(caller: string, { secret }: Pick<SecondFactor, 'secret'>, key: Buffer): Uint8Array {
  const sealed = Buffer.from(secret, 'base64url');
  try {
    const decipher = createDecipheriv(algorithm, key, sealed.subarray(0, nonceBytes), { authTagLength: tagBytes })
      .setAAD(Buffer.from(caller))
      .setAuthTag(sealed.subarray(-tagBytes));
    return Buffer.concat([decipher.update(sealed.subarray(nonceBytes, -tagBytes)), decipher.final()]);
  } catch {
    throw problem(`the second factor of ${caller} was not encrypted with this key`);
  }
}

export function recoveryHash(caller: string, code: string, key: Buffer): string {
  return createHmac('sha256', key)
    .update(`${caller}\0${code.toLowerCase().replaceAll('-', '')}`)
    .digest('hex');
}

function problem(message: string): AaaError {
  return new AaaError('AAA_SECOND_FACTOR', message);
}
