// Keys that tokens are signed with. The first of a list signs, all of them are published; files are read anew when they change.

import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { KeptFile } from '../../wire/aaa/kept-file.ts';
import { chainIssuer, type Issuer } from '../../wire/tokens/chain.ts';
import { TokenError } from '../../wire/tokens/errors.ts';
import { type Claims, ed25519Verification, readSigningKey, type SigningKey, verifyToken } from '../../wire/tokens/jwt.ts';

export class SigningKeys {
  readonly #keys: readonly KeptFile<SigningKey>[];
  readonly #token: string | undefined;

  /** @param token file with the token of who issues in the name of an organization */
  constructor(files: readonly string[], token: string | undefined) {
    this.#keys = files.map((file) => new KeptFile(file, readSigningKey));
    this.#token = token;
  }

  /** @throws TokenError naming the file */
  async issuer(): Promise<Issuer> {
    const key = this.#keys[0]?.read();
    if (!key) throw new TokenError('TOKEN_KEY', 'no signing_key is set');
    if (this.#token === undefined) return { key };
    try {
      return await chainIssuer(key, readFileSync(this.#token, 'utf8'));
    } catch (error) {
      if (error instanceof TokenError) throw new TokenError(error.code, `signing_token ${this.#token}: ${error.message}`);
      throw new TokenError('TOKEN_KEY', `signing_token can not be read: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Of every key that can be read. */
  publicKeys(): KeyObject[] {
    return this.#keys.flatMap((file) => {
      try {
        return [createPublicKey(file.read().key)];
      } catch {
        // Said when it is to sign.
        return [];
      }
    });
  }

  /** The claims of a token that one of these keys signed, and that is good now. @throws TokenError */
  async verify(text: string, now: Date): Promise<Claims> {
    let failure: unknown = new TokenError('TOKEN_KEY', 'no signing_key is set');
    for (const key of this.publicKeys())
      try {
        const rsa = { algorithms: ['RS256'], key };
        return await verifyToken(text, key.asymmetricKeyType === 'rsa' ? rsa : ed25519Verification(key), now);
      } catch (error) {
        failure = error;
        if (!(error instanceof TokenError && error.code === 'TOKEN_SIGNATURE')) break;
      }
    throw failure;
  }
}

/** As a JSON Web Key Set, for whoever verifies tokens with a library. */
export async function jwksOf(keys: readonly KeyObject[]): Promise<{ keys: object[] }> {
  const { calculateJwkThumbprint, exportJWK } = await import('jose');
  const made = await Promise.all(
    keys.map(async (key) => {
      const jwk = await exportJWK(key);
      const alg = key.asymmetricKeyType === 'rsa' ? 'RS256' : 'EdDSA';
      return { ...jwk, kid: await calculateJwkThumbprint(jwk), alg, use: 'sig' };
    }),
  );
  return { keys: [...new Map(made.map((jwk) => [jwk.kid, jwk])).values()] };
}
