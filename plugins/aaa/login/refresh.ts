// A new token for the key of a good one, without another login, until the session has lasted as long as it may.

import type { RefreshRequest } from '#schemas/muster/aaa/v1/refresh';
import type { ClientClaims } from '../../wire/tokens/client.ts';
import type { Authenticators, User } from './authenticators.ts';
import type { Issuers } from './issue.ts';
import { problemOfProof } from './proof.ts';
import type { Settings } from './settings.ts';

interface Tools {
  readonly settings: Settings;
  readonly authenticators: Authenticators;
  readonly issuers: Issuers;
  readonly now: () => number;
}

type Checked = { readonly authenticator: string; readonly publicKey: string; readonly authTime: number } & (
  | { readonly user: User }
  | { readonly reason: string }
);

export class Refresh {
  readonly #tools: Tools;
  readonly #revoked: (claims: ClientClaims) => string | undefined | Promise<string | undefined>;
  readonly #read: (text: string) => Promise<ClientClaims>;

  constructor(
    tools: Tools,
    revoked: (claims: ClientClaims) => string | undefined | Promise<string | undefined>,
    read: (text: string) => Promise<ClientClaims>,
  ) {
    this.#tools = tools;
    this.#revoked = revoked;
    this.#read = read;
  }

  /** Whether this may be done for whoever asks, and what he may now. */
  async check({ token, timestamp, signature }: RefreshRequest, signal: AbortSignal): Promise<Checked> {
    let at = { authenticator: 'refresh', publicKey: '', authTime: 0 };
    try {
      const claims = await this.#read(token);
      const { callerid, public_key: publicKey } = claims;
      const authenticator = await this.#tools.authenticators.ofCaller(callerid);
      if (authenticator === undefined) return { ...at, reason: 'its user is of none of the authenticators' };
      at = { authenticator, publicKey, authTime: claims.auth_time ?? claims.iat ?? 0 };
      const problem = await this.#problem(claims, { token, timestamp, signature }, at);
      if (problem !== undefined) return { ...at, reason: problem };
      const outcome = await this.#tools.authenticators.refresh(authenticator, callerid, { signal });
      if (!outcome.ok) return { ...at, reason: outcome.reason };
      if (outcome.user.callerid !== callerid) return { ...at, reason: 'the authenticator speaks of another user' };
      return { ...at, user: outcome.user };
    } catch (error) {
      return { ...at, reason: (error as Error).message };
    }
  }

  async #problem(
    claims: ClientClaims,
    { token, timestamp, signature }: RefreshRequest,
    { authenticator, publicKey, authTime }: { authenticator: string; publicKey: string; authTime: number },
  ): Promise<string | undefined> {
    const { now, issuers, settings } = this.#tools;
    const proof = problemOfProof({ timestamp, publicKey, signature, text: `refresh:${token}` }, now());
    if (proof !== undefined) return proof;
    await issuers.keysOf(authenticator).verify(token, new Date(now()));
    if (claims.exp === undefined || claims.iat === undefined) return 'the token does not say when it ends';
    if (claims.iat * 1_000 > now()) return 'the token was issued in the future';
    if (now() >= (authTime + settings.maxSessionSeconds) * 1_000) return 'the session has lasted as long as it may';
    return this.#revoked(claims);
  }
}
