// Tokens that were revoked: a bucket on the brokers, followed by whoever verifies tokens, so that a stolen one is dead within
// a moment. Others may write to the bucket: what counts is signed, and what was heard once is not forgotten because it is
// deleted, overwritten or replayed there. It counts while the brokers are away as well.

import { createHash } from 'node:crypto';
import type { KvChanges } from '../../../core/sdk/typescript/index.ts';
import type { TrustAnchors } from './anchors.ts';
import { TokenError } from './errors.ts';
import { hasEnded, meansToken, type Revocation, revocationKey, type TokenNames, verifyRevocation } from './revocation.ts';

export const revocationBucket = 'MUSTER_REVOKED';

export interface RevocationsOptions {
  readonly trust: () => TrustAnchors | Promise<TrustAnchors>;
  /** Is told of what stands in the bucket and counts for nothing, once each, and of so many at most. */
  readonly onRefused?: (problem: string) => void;
  /** Is told what was heard for the first time. */
  readonly onTaken?: (text: string, revocation: Revocation) => void;
}

interface Known {
  readonly text: string;
  readonly revocation: Revocation;
}

/** Whoever floods the bucket must not flood the log. */
const mostTold = 100;
const nobody: TrustAnchors = { signers: [] };

export class Revocations {
  readonly #options: RevocationsOptions;
  readonly #known = new Map<string, Known>();
  /** By what they speak of. */
  readonly #about = new Map<string, Map<string, Revocation>>();
  readonly #astray = new Set<string>();
  readonly #told = new Set<string>();
  #trust: TrustAnchors = nobody;
  #current = false;
  #refused = 0;

  constructor(options: RevocationsOptions = { trust: () => nobody }) {
    this.#options = options;
  }

  /** Whether all that the brokers have is known. */
  get current(): boolean {
    return this.#current;
  }

  /** Statements that count, or counted until they ended. */
  get size(): number {
    return this.#known.size;
  }

  /** Entries that were seen and count for nothing. */
  get refused(): number {
    return this.#refused;
  }

  /** Why a token is revoked, which may be an empty text; undefined if it is not. */
  revoked(token: TokenNames, nowMs = Date.now()): string | undefined {
    if (this.#known.size === 0) return undefined;
    const { callerid, public_key, jti } = token;
    for (const [kind, value] of Object.entries({ jti, public_key, callerid }))
      for (const revocation of this.#about.get(`${kind} ${value}`)?.values() ?? [])
        if (meansToken(revocation, token, this.#trust, nowMs)) return revocation.reason ?? '';
    return undefined;
  }

  /** What the watch of the bucket tells. What is missing there is not forgotten here. @throws nothing that an entry could cause */
  async take({ changes, reset, current }: KvChanges): Promise<void> {
    if (reset) for (const key of this.#known.keys()) this.#astray.add(key);
    if (changes.length > 0) await this.#renewTrust();
    for (const { key, operation, value } of changes) await this.#hear(key, operation === 'put' ? value : undefined);
    if (current) this.#current = true;
  }

  /** What was kept elsewhere than in the bucket. @returns whether it counts, so far */
  async load(text: string): Promise<boolean> {
    if (this.#known.size === 0) await this.#renewTrust();
    const revocation = await this.#verified(Buffer.from(text)).catch(() => undefined);
    if (!revocation) return false;
    const key = revocationKey(revocation);
    const counts = this.#keep(key, text, revocation);
    if (counts) this.#astray.add(key);
    return counts;
  }

  /** What stands in the bucket as something else, or not at all, by its key. */
  astray(): readonly (readonly [key: string, text: string])[] {
    return [...this.#astray].flatMap((key) => {
      const known = this.#known.get(key);
      return known && !hasEnded(known.revocation, Date.now()) ? [[key, known.text] as const] : [];
    });
  }

  /** Those are all keys of the bucket. What has ended is forgotten: its signature has ended too. */
  compare(keys: readonly string[]): void {
    const there = new Set(keys);
    for (const [key, { revocation }] of this.#known) {
      if (hasEnded(revocation, Date.now())) this.#forget(key, revocation);
      else if (!there.has(key)) this.#astray.add(key);
    }
  }

  #forget(key: string, { kind, value }: Revocation): void {
    this.#known.delete(key);
    this.#astray.delete(key);
    const about = this.#about.get(`${kind} ${value}`);
    about?.delete(key);
    if (about?.size === 0) this.#about.delete(`${kind} ${value}`);
  }

  async #hear(key: string, value: Uint8Array | undefined): Promise<void> {
    const known = this.#known.get(key);
    const text = value === undefined ? undefined : Buffer.from(value).toString('utf8');
    if (known) {
      // Until the bucket has it again.
      this.#astray.add(key);
      if (known.text === text) this.#astray.delete(key);
    }
    if (value === undefined || text === undefined || known?.text === text) return;
    try {
      const revocation = await this.#verified(value);
      if (revocationKey(revocation) !== key)
        throw new TokenError('TOKEN_CLAIMS', 'it speaks of something else than its key says');
      if (this.#keep(key, text, revocation)) this.#astray.delete(key);
    } catch (error) {
      // What has ended by itself stays in the bucket until somebody clears it.
      if (error instanceof TokenError && error.code === 'TOKEN_EXPIRED') return;
      this.#refuse(key, text, (error as Error).message);
    }
  }

  #verified(value: Uint8Array): Promise<Revocation> {
    return verifyRevocation(value, this.#trust);
  }

  /** @returns whether it counts: no later statement is known. */
  #keep(key: string, text: string, revocation: Revocation): boolean {
    const known = this.#known.get(key)?.revocation;
    const { kind, value, seq, action } = revocation;
    const isLater = !known || seq > known.seq || (seq === known.seq && action === 'revoke' && known.action === 'restore');
    if (!isLater) return false;
    this.#known.set(key, { text, revocation });
    const about = this.#about.get(`${kind} ${value}`) ?? new Map<string, Revocation>();
    this.#about.set(`${kind} ${value}`, about.set(key, revocation));
    this.#options.onTaken?.(text, revocation);
    return true;
  }

  /** Keys may have been replaced meanwhile; those that can't be read now may be later. */
  async #renewTrust(): Promise<void> {
    try {
      this.#trust = await this.#options.trust();
    } catch (error) {
      const problem = `the keys that revocations are signed with can not be read: ${(error as Error).message}`;
      this.#tell(problem, problem);
    }
  }

  #refuse(key: string, text: string, reason: string): void {
    this.#refused += 1;
    const which = JSON.stringify(key.slice(0, 80));
    this.#tell(`${key}\n${text}`, `the entry ${which} of the bucket ${revocationBucket} counts for nothing: ${reason}`);
  }

  #tell(about: string, problem: string): void {
    const mark = createHash('sha256').update(about).digest('base64');
    if (this.#told.has(mark) || this.#told.size >= mostTold) return;
    this.#told.add(mark);
    const isLast = this.#told.size === mostTold;
    this.#options.onRefused?.(isLast ? `${problem}; others are counted and not told` : problem);
  }
}
