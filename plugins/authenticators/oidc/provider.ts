// A provider of OpenID Connect: what it says of itself, and its keys, both kept for a while.

import type { JWTVerifyGetKey } from 'jose';
import { FetchError, type FetchInit, type FetchOptions, fetchSafely, isSafe } from '../../wire/aaa/fetch.ts';

const keptMs = 600_000;
/** New keys are not asked for more often, whoever sends tokens with unknown ones. */
const cooldownMs = 1_000;
const wellKnown = '/.well-known/openid-configuration';

interface Discovered {
  readonly keys: JWTVerifyGetKey;
  readonly userinfo: URL | undefined;
  readonly until: number;
}

/** The message is for the log. */
export class ProviderError extends Error {
  override readonly name = 'ProviderError';
  readonly code = 'OIDC_PROVIDER';
}

export class Provider {
  readonly #issuer: string;
  readonly #options: FetchOptions;
  #discovered: Promise<Discovered> | undefined;

  constructor(issuer: string, options: FetchOptions) {
    this.#issuer = issuer;
    this.#options = options;
  }

  /** @throws ProviderError */
  async keys(): Promise<JWTVerifyGetKey> {
    return (await this.#known()).keys;
  }

  /** What it says of whom it gave this access token to. @throws ProviderError */
  async userinfo(accessToken: string): Promise<Readonly<Record<string, unknown>>> {
    const { userinfo } = await this.#known();
    if (!userinfo) throw new ProviderError('the provider has no userinfo_endpoint');
    return this.#json(userinfo, { headers: { authorization: `Bearer ${accessToken}`, accept: 'application/json' } });
  }

  async #known(): Promise<Discovered> {
    const current = this.#discovered;
    if (current) {
      const { until } = await current;
      if (until > Date.now()) return current;
    }
    if (this.#discovered !== current && this.#discovered) return this.#discovered;
    const next = this.#discover();
    this.#discovered = next;
    next.catch(() => {
      if (this.#discovered === next) this.#discovered = undefined;
    });
    return next;
  }

  async #discover(): Promise<Discovered> {
    const { createRemoteJWKSet, customFetch } = await import('jose');
    const told = await this.#json(new URL(`${this.#issuer.replace(/\/$/, '')}${wellKnown}`));
    // Else one provider could speak for another.
    if (told.issuer !== this.#issuer)
      throw new ProviderError(
        `the provider calls itself ${JSON.stringify(told.issuer)?.slice(0, 100)}, and issuer is '${this.#issuer}'`,
      );
    const keysAt = safeUrl(told.jwks_uri);
    if (!keysAt) throw new ProviderError('the provider names no jwks_uri with https');
    const keys = createRemoteJWKSet(keysAt, {
      cacheMaxAge: keptMs,
      cooldownDuration: cooldownMs,
      [customFetch]: (url: string, init: FetchInit) => fetchSafely(url, init, this.#options),
    });
    return { keys, userinfo: safeUrl(told.userinfo_endpoint), until: Date.now() + keptMs };
  }

  async #json(url: URL, init?: FetchInit): Promise<Readonly<Record<string, unknown>>> {
    try {
      const response = await fetchSafely(url, init, this.#options);
      if (response.status !== 200) throw new FetchError(`${url.origin}${url.pathname} answers with status ${response.status}`);
      const value: unknown = await response.json().catch(() => undefined);
      if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
      throw new FetchError(`${url.origin}${url.pathname} does not answer with a JSON object`);
    } catch (error) {
      throw new ProviderError(`the provider: ${(error as Error).message}`, { cause: error });
    }
  }
}

function safeUrl(text: unknown): URL | undefined {
  if (typeof text !== 'string' || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  return isSafe(url) ? url : undefined;
}
