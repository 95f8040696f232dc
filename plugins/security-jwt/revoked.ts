// Tokens that were revoked, as a node follows them over its own connection, from the first request on.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../../core/sdk/typescript/index.ts';
import { WireError } from '../wire/errors.ts';
import type { ClientClaims } from '../wire/tokens/client.ts';
import { followRevocations, type Revocations } from '../wire/tokens/revocations.ts';

/** Connection of a node. */
const connection = 'node';
/** The first request waits so long for what was revoked before it. */
const firstMs = 2_000;
const pollMs = 20;
/** Where there is no such bucket, it is looked again after this. */
const againMs = 30_000;

export class RevokedTokens {
  readonly #host: Host;
  #following: Promise<Revocations | undefined> | undefined;
  #failedAt = Number.NEGATIVE_INFINITY;

  constructor(host: Host) {
    this.#host = host;
  }

  /** @throws WireError `WIRE_CALLER` for a token that was revoked */
  async check(claims: ClientClaims): Promise<void> {
    const revocations = await this.#follow();
    const reason = revocations?.revoked(claims);
    if (reason === undefined) return;
    const why = reason === '' ? '' : `: ${reason.slice(0, 80)}`;
    throw new WireError('WIRE_CALLER', `the token of ${claims.callerid.slice(0, 80)} was revoked${why}`);
  }

  #follow(): Promise<Revocations | undefined> {
    if (this.#following) return this.#following;
    if (performance.now() - this.#failedAt < againMs) return Promise.resolve(undefined);
    this.#following = this.#start().catch((error: Error) => {
      // Nobody has revoked anything yet, or the node may not look.
      this.#host.log.debug(`revoked tokens are not followed: ${error.message}`);
      this.#failedAt = performance.now();
      this.#following = undefined;
      return undefined;
    });
    return this.#following;
  }

  async #start(): Promise<Revocations> {
    const revocations = await followRevocations(this.#host, connection);
    const until = performance.now() + firstMs;
    while (!revocations.current && performance.now() < until) await sleep(pollMs);
    return revocations;
  }
}
