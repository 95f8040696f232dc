// Which tokens are trusted: by the keys of organizations, or by a list of keys. What was verified is remembered by its text.

import { PluginError } from '../../core/sdk/typescript/index.ts';
import { WireError } from '../wire/errors.ts';
import { type ClientClaims, type TrustAnchors, verifyClientToken } from '../wire/tokens/client.ts';
import { TokenError } from '../wire/tokens/errors.ts';
import { readUnverified, readVerificationKey, type VerificationKey } from '../wire/tokens/jwt.ts';
import { endOf, type ServerClaims, verifyServerToken } from '../wire/tokens/server.ts';
import type { SecurityConfig } from './identity.ts';

const maxRemembered = 4_096;
/** Anybody may send what is refused. */
const maxRefused = 256;
/** Anybody may send a longer text, which is not worth its room. */
const maxRememberedLength = 65_536;

/** Tokens that one key vouches for. */
export interface Vouched {
  readonly caller: ClientClaims;
  readonly signer?: ClientClaims;
}

export class TokenTrust {
  readonly #issuers = new Map<string, VerificationKey>();
  readonly #signers: readonly VerificationKey[];
  readonly #good = new Map<string, ClientClaims>();
  readonly #refused = new Map<string, string>();

  /** @throws PluginError naming the key of the configuration that is missing or of no use */
  constructor(config: SecurityConfig) {
    const names = config['plugin.security.issuer.names'] ?? [];
    const signers = config['plugin.security.choria.trusted_signers'] ?? [];
    if (names.length > 0 && signers.length > 0)
      throw unavailable('plugin.security.issuer.names and plugin.security.choria.trusted_signers exclude each other; set one');
    const keys: Readonly<Record<string, unknown>> = { ...config };
    for (const name of names) {
      const key = `plugin.security.issuer.${name}.public`;
      this.#issuers.set(name, keyOf(key, String(keys[key] ?? '')));
    }
    this.#signers = signers.map((signer) => keyOf('plugin.security.choria.trusted_signers', signer));
  }

  get isEmpty(): boolean {
    return this.#issuers.size === 0 && this.#signers.length === 0;
  }

  get anchors(): TrustAnchors {
    return this.#issuers.size > 0 ? { issuers: this.#issuers } : { signers: this.#signers };
  }

  /**
   * The claims of the caller, and of whoever signed for him, if one key vouches for both.
   * @throws WireError `WIRE_CALLER`
   */
  async vouch(caller: string, signer: string | undefined, now: Date): Promise<Vouched> {
    let reason = 'no key is known here that tokens are verified with; set plugin.security.issuer.names or trusted_signers';
    for (const key of await this.#keysFor(signer ?? caller)) {
      try {
        const by = { index: this.#indexOf(key), key };
        const callerClaims = await this.#verify(caller, by, now);
        return { caller: callerClaims, ...(signer !== undefined && { signer: await this.#verify(signer, by, now) }) };
      } catch (error) {
        if (!(error instanceof TokenError)) throw error;
        reason = error.message;
      }
    }
    throw new WireError('WIRE_CALLER', reason);
  }

  /** The claims of a node's token. Nodes tell of themselves seldom, so that nothing is remembered. @throws WireError `WIRE_CALLER` */
  async node(token: string, now: Date): Promise<ServerClaims> {
    try {
      return await verifyServerToken(token, this.anchors, now);
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      throw new WireError('WIRE_CALLER', error.message);
    }
  }

  async #keysFor(token: string): Promise<readonly VerificationKey[]> {
    if (this.#issuers.size === 0) return this.#signers;
    const { ou } = await readUnverified(token).catch((error: Error) => {
      throw new WireError('WIRE_CALLER', error.message);
    });
    const key = typeof ou === 'string' ? this.#issuers.get(ou) : undefined;
    if (key) return [key];
    const named = JSON.stringify(ou)?.slice(0, 60) ?? 'none';
    throw new WireError('WIRE_CALLER', `the token is of the organization ${named}, which is not in plugin.security.issuer.names`);
  }

  #indexOf(key: VerificationKey): number {
    return [...this.#issuers.values(), ...this.#signers].indexOf(key);
  }

  async #verify(
    token: string,
    { index, key }: { readonly index: number; readonly key: VerificationKey },
    now: Date,
  ): Promise<ClientClaims> {
    const id = `${index} ${token}`;
    const known = this.#good.get(id);
    const ends = known ? (endOf(known) ?? Number.POSITIVE_INFINITY) : 0;
    if (known && ends * 1000 > now.getTime()) return known;
    this.#good.delete(id);
    const refused = this.#refused.get(id);
    if (refused !== undefined) throw new TokenError('TOKEN_SIGNATURE', refused);
    try {
      const claims = await verifyClientToken(token, { signers: [key] }, now);
      remember(this.#good, id, claims, maxRemembered);
      return claims;
    } catch (error) {
      // What is wrong with its time may be right later.
      if (error instanceof TokenError && error.code !== 'TOKEN_NOT_YET') remember(this.#refused, id, error.message, maxRefused);
      throw error;
    }
  }
}

function remember<T>(kept: Map<string, T>, id: string, value: T, most: number): void {
  if (id.length > maxRememberedLength) return;
  if (kept.size >= most) kept.delete(kept.keys().next().value ?? '');
  kept.set(id, value);
}

function keyOf(name: string, value: string): VerificationKey {
  if (value === '') throw unavailable(`${name} is not set; it holds the public key in hex, or names a file with it`);
  try {
    return readVerificationKey(value);
  } catch (error) {
    throw unavailable(`${name}: ${(error as Error).message}`, error);
  }
}

function unavailable(message: string, cause?: unknown): PluginError {
  return new PluginError('UNAVAILABLE', message, { cause });
}
