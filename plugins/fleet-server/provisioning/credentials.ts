// Whether what a node would show to its fleet is of any use: a certificate with its key, or a token with its seed.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { keyFromSeed, publicHex } from '../../wire/tokens/ed25519.ts';
import { readUnverified } from '../../wire/tokens/jwt.ts';

/** The last value of a key, as a file has it. */
export type Values = (key: string) => string | undefined;

/** Why the token and seed of protocol 2 that the configuration names are of no use; undefined if they are, or it names none. */
export async function tokenProblem(values: Values, now: Date): Promise<string | undefined> {
  const [tls, of] = ['plugin.choria.security.server', 'plugin.security.choria'];
  const isAnonymous = isYes(values('plugin.security.server_anon_tls'));
  const [anonymousToken, anonymousSeed] = [values(`${tls}.token_file`), values(`${tls}.seed_file`)];
  if (isAnonymous && anonymousToken !== undefined && anonymousSeed !== undefined)
    return pairProblem(anonymousToken, anonymousSeed, now);
  if (values('plugin.security.provider')?.toLowerCase() === 'choria')
    return pairProblem(values(`${of}.token_file`) ?? '', values(`${of}.seed_file`) ?? '', now);
  return undefined;
}

async function pairProblem(tokenFile: string, seedFile: string, now: Date): Promise<string | undefined> {
  if (!existsSync(seedFile)) return `the seed ${seedFile || '(no file is named)'} is missing`;
  if (!existsSync(tokenFile)) return `the token ${tokenFile || '(no file is named)'} is missing`;
  try {
    const claims = await readUnverified(readFileSync(tokenFile, 'utf8'));
    if (claims.public_key !== publicHex(keyFromSeed(readFileSync(seedFile, 'utf8'))))
      return `the token ${tokenFile} does not belong to the seed ${seedFile}`;
    const ends = [claims.exp, claims.issexp].filter((end) => typeof end === 'number');
    if (ends.length > 0 && Math.min(...ends) * 1000 <= now.getTime()) return `the token ${tokenFile} has expired`;
    return undefined;
  } catch (error) {
    return `the token ${tokenFile} can not be used: ${(error as Error).message}`;
  }
}

/** Why the certificate of the provider `file` is of no use; undefined if it is, or another provider is used. */
export function certificateProblem(values: Values, now: Date): { reason: string; hasExpired: boolean } | undefined {
  if (values('plugin.security.provider')?.toLowerCase() !== 'file') return undefined;
  const [certificate, key, ca] = ['certificate', 'key', 'ca'].map((name) => values(`plugin.security.file.${name}`));
  if (certificate === undefined || key === undefined || ca === undefined) return undefined;
  try {
    const read = new X509Certificate(readFileSync(certificate));
    if (!read.checkPrivateKey(createPrivateKey(readFileSync(key))))
      return problem(`the key ${key} does not belong to ${certificate}`);
    const ends = new Date(read.validTo);
    if (ends <= now) return problem(`the certificate ${certificate} expired at ${ends.toISOString()}`, true);
    new X509Certificate(readFileSync(ca));
    return undefined;
  } catch (error) {
    return problem(`certificate, key or CA can not be read: ${(error as Error).message}`);
  }
}

function problem(reason: string, hasExpired = false): { reason: string; hasExpired: boolean } {
  return { reason, hasExpired };
}

export function isYes(text: string | undefined): boolean {
  return text !== undefined && /^(1|yes|true|y|t)$/i.test(text);
}

export function isNo(text: string | undefined): boolean {
  return text !== undefined && /^(0|no|false|n|f)$/i.test(text);
}
