// Tokens of users. Verifying is dear and a client uses its token for hours, so what was found is kept by its text; times are
// looked at each time.

import type { KeyObject } from 'node:crypto';
import { statSync } from 'node:fs';
import { type ClientClaims, type TrustAnchors, verifyClientToken } from '../../wire/tokens/client.ts';
import { publicFromHex } from '../../wire/tokens/ed25519.ts';
import { TokenError } from '../../wire/tokens/errors.ts';
import { readVerificationKey, type VerificationKey } from '../../wire/tokens/jwt.ts';
import { Refusal } from './refusal.ts';

export interface Verified {
  readonly claims: ClientClaims;
  readonly key: KeyObject;
}

/** Of all texts that are kept. */
const mostCharacters = 32 * 1024 * 1024;
/** Longer ones are no tokens; one with a policy has some ten thousand. */
const longest = 256 * 1024;

export class UserTokens {
  readonly #files: readonly string[];
  readonly #maxValidityMs: number;
  readonly #kept = new Map<string, Verified>();
  #characters = 0;
  #trust: TrustAnchors;
  #filesAt: string;

  /** @throws TokenError for a key that can't be used */
  constructor(files: readonly string[], maxValidityMs: number) {
    this.#files = files;
    this.#maxValidityMs = maxValidityMs;
    this.#filesAt = agesOf(files);
    this.#trust = { signers: files.map(readVerificationKey) };
  }

  /** @throws Refusal `SIGNER_TOKEN`, `SIGNER_LIFETIME` */
  async verify(text: string, nowMs: number): Promise<Verified> {
    const known = this.#kept.get(text);
    if (known) {
      checkTimes(known.claims, nowMs);
      this.#checkLifetime(known.claims, nowMs);
      return known;
    }
    if (text.length > longest) throw new Refusal('SIGNER_TOKEN', `a token of ${text.length} characters is not read`);
    const trust = this.#trust;
    let verified: Verified;
    try {
      const claims = await verifyClientToken(text, trust, new Date(nowMs));
      verified = { claims, key: publicFromHex(claims.public_key) };
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      throw new Refusal('SIGNER_TOKEN', error.message, { cause: error });
    }
    this.#checkLifetime(verified.claims, nowMs);
    // Keys may have been replaced meanwhile.
    if (trust === this.#trust) this.#keep(text, verified);
    return verified;
  }

  /** Takes up keys that were replaced. @throws TokenError for one that can't be used; those before stay */
  renewKeys(): void {
    const now = agesOf(this.#files);
    if (now === this.#filesAt) return;
    const signers: VerificationKey[] = this.#files.map(readVerificationKey);
    this.#filesAt = now;
    this.#trust = { signers };
    this.#kept.clear();
    this.#characters = 0;
  }

  /** What is left of it, not what it had; services are trusted for longer. @throws Refusal `SIGNER_LIFETIME` */
  #checkLifetime({ exp, permissions }: ClientClaims, nowMs: number): void {
    if (permissions?.service === true) return;
    if (exp === undefined) throw new Refusal('SIGNER_LIFETIME', 'the token does not say when it ends');
    const left = exp - Math.floor(nowMs / 1000);
    if (left * 1000 > this.#maxValidityMs)
      throw new Refusal(
        'SIGNER_LIFETIME',
        `the token is good for ${left} s more; max_validity allows ${Math.floor(this.#maxValidityMs / 1000)} s`,
      );
  }

  #keep(text: string, verified: Verified): void {
    if (this.#kept.has(text)) return;
    for (const oldest of this.#kept.keys()) {
      if (this.#characters + text.length <= mostCharacters) break;
      this.#kept.delete(oldest);
      this.#characters -= oldest.length;
    }
    this.#kept.set(text, verified);
    this.#characters += text.length;
  }
}

/** @throws Refusal `SIGNER_TOKEN` */
function checkTimes({ exp, nbf, iat, issexp }: ClientClaims, nowMs: number): void {
  const now = nowMs / 1000;
  if ((exp !== undefined && exp <= now) || (issexp !== undefined && issexp <= now))
    throw new Refusal('SIGNER_TOKEN', 'the token has expired');
  if ((nbf !== undefined && nbf > now) || (iat !== undefined && iat > now))
    throw new Refusal('SIGNER_TOKEN', 'the token is not yet valid; compare the clocks');
}

/** A key that is written in the configuration itself has no file. */
function agesOf(files: readonly string[]): string {
  return files
    .map((file) => statSync(file, { throwIfNoEntry: false }))
    .map((stat) => (stat ? `${stat.mtimeMs}:${stat.size}:${stat.ino}` : ''))
    .join();
}
