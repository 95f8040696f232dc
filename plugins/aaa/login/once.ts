// What is good for one login at whichever instance: ID tokens, by their hash, for a day in a bucket that instances share.

import { createHash } from 'node:crypto';
import type { Host } from '../../../core/sdk/typescript/index.ts';
import { options, SharedBucket } from './shared-bucket.ts';

export const onceBucket = 'MUSTER_LOGIN_ONCE';
/** Longer than an ID token may be old. */
const keptMs = 86_400_000;

export class Once {
  readonly #shared: SharedBucket | undefined;
  readonly #onTrouble: (message: string) => void;

  /** @param connection to the brokers; without one there is one instance, and the authenticator remembers */
  constructor(host: Host, connection: string | undefined, replicas: number, onTrouble: (message: string) => void) {
    this.#shared =
      connection === undefined ? undefined : new SharedBucket(host, connection, onceBucket, { ttlMs: keptMs, replicas });
    this.#onTrouble = onTrouble;
  }

  /** @returns false if it was used before, at another instance */
  async use(credential: string): Promise<boolean> {
    if (!this.#shared) return true;
    try {
      const bucket = await this.#shared.open();
      const key = createHash('sha256').update(credential).digest('hex');
      return (await bucket.update(key, Buffer.from('used'), 0, options)) !== null;
    } catch (error) {
      // The authenticator remembers as well, for this instance; logins go on while the brokers are away.
      this.#onTrouble(`it can not be looked up whether a credential was used elsewhere: ${(error as Error).message}`);
      return true;
    }
  }
}
