// Tokens that were revoked, as a node follows them over its own connection, from the first request on.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { WireError } from '../wire/errors.ts';
import type { TrustAnchors } from '../wire/tokens/anchors.ts';
import type { ClientClaims } from '../wire/tokens/client.ts';
import { followRevocations, newRevocations } from '../wire/tokens/follow-revocations.ts';
import type { Revocations } from '../wire/tokens/revocations.ts';

/** Connection of a node. */
const connection = 'node';
/** The first request waits so long for what was revoked before it. */
const firstMs = 2_000;
const pollMs = 20;
/** Where there is no such bucket, or it can't be read, it is looked again after this. */
const againMs = 5_000;

export class RevokedTokens {
  readonly #host: Host;
  readonly #trust: () => TrustAnchors;
  #following: Promise<Revocations | undefined> | undefined;
  #failedAt = Number.NEGATIVE_INFINITY;
  #said = '';

  /** @param trust the keys that tokens are trusted by, which sign revocations as well */
  constructor(host: Host, trust: () => TrustAnchors) {
    this.#host = host;
    this.#trust = trust;
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
      this.#tell(error);
      this.#failedAt = performance.now();
      this.#following = undefined;
      return undefined;
    });
    return this.#following;
  }

  /** Where nobody has revoked anything yet there is no bucket. */
  #tell(error: Error): void {
    if (error instanceof PluginError && error.code === 'NOT_FOUND') return;
    if (this.#said !== error.message)
      this.#host.log.warn(
        `revoked tokens are not followed, and so are taken: ${error.message}; the token of the node needs the permission streams, or set plugin.muster.revocations = no`,
      );
    this.#said = error.message;
  }

  async #start(): Promise<Revocations> {
    const revocations = newRevocations(this.#host, { trust: this.#trust });
    await followRevocations(this.#host, connection, revocations);
    const until = performance.now() + firstMs;
    while (!revocations.current && performance.now() < until) await sleep(pollMs);
    return revocations;
  }
}
