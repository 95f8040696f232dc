// Signatures in the name of others: with the seed and the token of one who may (authentication_delegator).

import { sign } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { PluginError } from '../../core/sdk/typescript/index.ts';
import { type ClientClaims, readClientToken } from '../wire/tokens/client.ts';
import { publicHex } from '../wire/tokens/ed25519.ts';
import { readSigningKey, type SigningKey, trimmed } from '../wire/tokens/jwt.ts';
import { endOf } from '../wire/tokens/server.ts';
import { secureRequestText } from '../wire/v2/messages.ts';

export interface Delegator {
  /** Files. */
  readonly seed: string;
  readonly token: string;
}

interface Loaded {
  readonly key: SigningKey;
  readonly token: string;
  readonly claims: ClientClaims;
  readonly filesAt: string;
}

/** How often it is looked whether the files were replaced. */
const lookMs = 1_000;

export class Countersigner {
  #loaded: Loaded | undefined;
  #lookedAt = 0;

  /** Secure requests for these texts, in order. @throws PluginError for a seed or token that nodes would not take */
  async sign(requests: readonly string[], delegator: Delegator | undefined): Promise<string[]> {
    if (delegator === undefined)
      throw new PluginError('UNAVAILABLE', 'protocol v2 signs for others by a delegator; set signing_seed and signing_token');
    const { key, token, claims } = await this.#current(delegator);
    const ends = endOf(claims);
    if (ends !== undefined && ends <= Date.now() / 1000)
      throw new PluginError('UNAVAILABLE', `the token ${delegator.token} of the delegator has ended; replace it`);
    return requests.map((text) => {
      const request = Buffer.from(text);
      // The caller's own token takes the place of the first one at the client, whose it is.
      return secureRequestText({ request, signature: sign(null, request, key.key), caller: token, signer: token });
    });
  }

  async #current(delegator: Delegator): Promise<Loaded> {
    const now = Date.now();
    if (this.#loaded && now - this.#lookedAt < lookMs) return this.#loaded;
    this.#lookedAt = now;
    const filesAt = [delegator.seed, delegator.token].map(ageOf).join();
    if (this.#loaded?.filesAt === filesAt) return this.#loaded;
    try {
      this.#loaded = { ...(await load(delegator)), filesAt };
    } catch (error) {
      // Both files are not replaced at once.
      if (!this.#loaded) throw error;
    }
    return this.#loaded;
  }
}

async function load({ seed, token: file }: Delegator): Promise<Omit<Loaded, 'filesAt'>> {
  try {
    const key = readSigningKey(seed);
    const token = trimmed(readFileSync(file, 'utf8'));
    const claims = await readClientToken(token);
    if (key.algorithm !== 'EdDSA' || publicHex(key.key) !== claims.public_key)
      throw new Error('the seed does not belong to the token');
    if (claims.permissions?.authentication_delegator !== true)
      throw new Error('the token lacks the permission authentication_delegator');
    return { key, token, claims };
  } catch (error) {
    throw new PluginError('UNAVAILABLE', `the delegator's ${seed} and ${file} can not be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function ageOf(file: string): string {
  const found = statSync(file, { throwIfNoEntry: false });
  return found ? `${found.mtimeMs} ${found.size} ${found.ino}` : 'none';
}
