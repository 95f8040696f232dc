// The token of whoever is logged in, and the key that it is for; read again when the files change, refreshed in time.

import { type KeyObject, sign } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { PluginError } from '../../../core/sdk/typescript/index.ts';
import { type ClientClaims, readClientToken } from '../../wire/tokens/client.ts';
import { keyFromSeed, publicHex } from '../../wire/tokens/ed25519.ts';
import type { LoginFiles } from '../login/config.ts';

/** A clock that is off by less is forgiven, as Choria's clients do. */
const leewaySeconds = 5;

export interface LoggedIn {
  readonly token: string;
  readonly callerid: string;
  readonly key: KeyObject;
  readonly seedFile: string;
  readonly claims: ClientClaims;
}

export class TokenFiles {
  #known: { readonly at: string; readonly loggedIn: LoggedIn } | undefined;

  /**
   * @param refresh is asked for a token that ends later
   * @throws PluginError `UNAVAILABLE` for a token that has ended, or files that can't be used
   */
  async read(files: LoginFiles, refresh: () => Promise<unknown>): Promise<LoggedIn> {
    const before = await this.#readFiles(files);
    if (endOf(before.claims) + leewaySeconds <= Date.now() / 1000)
      throw unavailable(
        `the token of ${before.callerid} ended at ${new Date(endOf(before.claims) * 1000).toISOString()}; log in with \`muster login\``,
      );
    await refresh();
    return this.#readFiles(files);
  }

  async #readFiles(files: LoginFiles): Promise<LoggedIn> {
    try {
      const at = [files.token, files.seed].map(ageOf).join();
      if (this.#known?.at === at) return this.#known.loggedIn;
      const token = readFileSync(files.token, 'utf8').trim();
      const claims = await readClientToken(token);
      const key = keyFromSeed(readFileSync(files.seed, 'utf8').trim());
      if (publicHex(key) !== claims.public_key) throw new Error(`the seed ${files.seed} does not belong to it`);
      const loggedIn = { token, callerid: claims.callerid, key, seedFile: files.seed, claims };
      this.#known = { at, loggedIn };
      return loggedIn;
    } catch (error) {
      throw unavailable(
        `the token ${files.token} can not be used: ${(error as Error).message}; log in with \`muster login\``,
        error,
      );
    }
  }
}

/** Hex, over the bytes of the request as they are. */
export function signatureOf(request: string, { key }: LoggedIn): string {
  return sign(null, Buffer.from(request), key).toString('hex');
}

function endOf({ exp, issexp }: ClientClaims): number {
  return Math.min(exp ?? Number.POSITIVE_INFINITY, issexp ?? Number.POSITIVE_INFINITY);
}

function ageOf(file: string): string {
  const { mtimeMs, size, ino } = statSync(file);
  return `${mtimeMs}:${size}:${ino}`;
}

function unavailable(message: string, cause?: unknown): PluginError {
  return new PluginError('UNAVAILABLE', message, { cause });
}
