// Wrong logins that other instances of the service counted. Each writes what it counted itself into a bucket that they share,
// and follows what the others write: who logs in waits for no broker, and while there is none, each goes on alone. Others may
// write to the bucket: what counts is signed, and what was heard once is known until its window is over, whatever stands there.

import { createHash, randomUUID } from 'node:crypto';
import type { Bucket, Host, KvChanges } from '../../../core/sdk/typescript/index.ts';
import { TokenError } from '../../wire/tokens/errors.ts';
import type { SigningKeys } from './keys.ts';
import { forgetOldest, KnownCounts } from './known-counts.ts';
import type { Count } from './limits.ts';
import { options, SharedBucket } from './shared-bucket.ts';
import { entryOf, type Place, placeOf, type Said, sign, verify } from './statements.ts';

export const failuresBucket = 'MUSTER_LOGIN_FAILURES';

/** Of what was told; whoever comes with ever new names must not fill the memory. */
const mostKeys = 50_000;
const timer = 'follow-failures';
const followEveryMs = 1_000;
/** Brokers that are away are asked again after this. */
const restMs = 5_000;
/** Whoever floods the bucket must not flood the log. */
const refusedEveryMs = 3_600_000;

export interface SharedFailuresSpec {
  readonly host: Host;
  /** To the brokers; undefined where one instance is alone. */
  readonly connection: string | undefined;
  readonly replicas: number;
  readonly windowMs: number;
  /** That all instances have. */
  readonly keys: SigningKeys;
  readonly now: () => number;
  /** Another instance had a good login of this key. */
  readonly onCleared: (key: string) => void;
}

/** What this instance counted and told. */
interface Told {
  readonly key: string;
  readonly at: number;
  readonly ends: number;
}

export class SharedFailures {
  readonly #spec: SharedFailuresSpec;
  readonly #shared: SharedBucket | undefined;
  readonly #instance = randomUUID();
  readonly #known = new KnownCounts();
  readonly #told = new Map<string, Told>();
  #failedAt = Number.NEGATIVE_INFINITY;
  #refusedAt = Number.NEGATIVE_INFINITY;
  #problem = '';

  constructor(spec: SharedFailuresSpec) {
    this.#spec = spec;
    const { host, connection, replicas, windowMs } = spec;
    const bucket = { ttlMs: windowMs, storage: 'memory', replicas, description: 'Wrong logins by instance' } as const;
    this.#shared = connection === undefined ? undefined : new SharedBucket(host, connection, failuresBucket, bucket);
  }

  /** From now on, or as soon as there is a broker: what was counted before the first wrong login here counts as well. */
  async follow(): Promise<void> {
    const { host, connection } = this.#spec;
    const shared = this.#shared;
    if (!shared || connection === undefined) return;
    const attempt = async () => {
      if (!(await host.bus.info(connection)).connected) return;
      const bucket = await shared.open();
      await bucket.watch({ id: `failures:${this.#instance}`, key: '>' }, (changes) => this.#take(changes));
      await host.timers.clear(timer);
    };
    const tell = (error: Error) => this.#tellProblem(error.message);
    await host.timers.set({ id: timer, afterMs: 0, everyMs: followEveryMs }, () => attempt().catch(tell)).catch(tell);
  }

  /** What other instances counted of it within windows that are open. */
  count(key: string, now: number): number {
    return this.#known.count(nameOf(key), now);
  }

  /** Tells the others, in the background. */
  tell(counts: readonly Count[]): void {
    const named = counts.map(({ key, count, ends }) => ({ key: nameOf(key), count, ends }));
    const at = Math.max(this.#spec.now(), ...named.map(({ key }) => 1 + Math.max(this.#known.clearedAt(key), this.#toldAt(key))));
    for (const { key, ends } of counts) this.#note(nameOf(key), { key, at, ends });
    this.#write({ instance: this.#instance, at, counts: named }, Math.max(...counts.map(({ ends }) => ends)));
  }

  /** After a good login; signs nothing and asks no broker where nobody told of anything. */
  clear(keys: readonly string[]): void {
    const now = this.#spec.now();
    const isToldOf = (name: string) => this.#known.count(name, now) > 0 || (this.#told.get(name)?.ends ?? 0) > now;
    const cleared = keys.map(nameOf).filter(isToldOf);
    if (cleared.length === 0) return;
    const at = Math.max(now, ...cleared.flatMap((name) => [this.#known.lastOf(name), this.#toldAt(name)]));
    for (const name of cleared) {
      this.#told.delete(name);
      this.#known.hearClear(name, at);
    }
    this.#write({ instance: this.#instance, at, cleared }, at + this.#spec.windowMs);
  }

  #toldAt(name: string): number {
    return this.#told.get(name)?.at ?? 0;
  }

  #note(name: string, told: Told): void {
    this.#told.delete(name);
    this.#told.set(name, told);
    forgetOldest(this.#told, mostKeys);
  }

  /** In the background. One signature, wherever it is put. */
  #write(said: Said, endsMs: number): void {
    if (!this.#shared || performance.now() - this.#failedAt < restMs) return;
    this.#shared
      .use((bucket) => this.#put(bucket, said, endsMs))
      .then(() => {
        this.#problem = '';
      })
      .catch((error: Error) => {
        this.#failedAt = performance.now();
        this.#tellProblem(error.message);
      });
  }

  async #put(bucket: Bucket, said: Said, endsMs: number): Promise<void> {
    const { instance, counts = [], cleared = [] } = said;
    const value = await sign(said, this.#spec.keys, endsMs);
    const places = [
      ...counts.map(({ key }) => ({ key, instance, isClear: false })),
      ...cleared.map((key) => ({ key, instance, isClear: true })),
    ];
    await Promise.all(places.map((place) => bucket.put(entryOf(place), value, options)));
  }

  /** What is missing there, by whoever's doing, is not forgotten here. @throws nothing that an entry could cause */
  async #take({ changes }: KvChanges): Promise<void> {
    for (const { key, operation, value } of changes) if (operation === 'put' && value !== undefined) await this.#hear(key, value);
  }

  async #hear(entry: string, value: Uint8Array): Promise<void> {
    const place = placeOf(entry);
    if (place.instance === this.#instance) return;
    try {
      this.#keep(place, await verify(value, place, this.#spec.keys, this.#spec.now()));
    } catch (error) {
      // What has ended stays in the bucket for a while.
      if (error instanceof TokenError && error.code === 'TOKEN_EXPIRED') return;
      this.#refuse(entry, (error as Error).message);
    }
  }

  #keep({ key, instance, isClear }: Place, { at, counts = [] }: Said): void {
    if (isClear) {
      this.#known.hearClear(key, at);
      this.#forgetOwn(key, at);
      return;
    }
    const { now, windowMs } = this.#spec;
    const counted = counts.find((one) => one.key === key);
    // Nobody is locked out for longer than here.
    if (counted) this.#known.hearCount(key, instance, { ...counted, at, ends: Math.min(counted.ends, at + windowMs) }, now());
  }

  /** Unless something was wrong here later. */
  #forgetOwn(name: string, clearedAt: number): void {
    const told = this.#told.get(name);
    if (!told || told.at > clearedAt) return;
    this.#told.delete(name);
    this.#spec.onCleared(told.key);
  }

  #tellProblem(message: string): void {
    if (message !== this.#problem) this.#spec.host.log.warn(`wrong logins are not shared with other instances: ${message}`);
    this.#problem = message;
  }

  #refuse(entry: string, reason: string): void {
    if (performance.now() - this.#refusedAt < refusedEveryMs) return;
    this.#refusedAt = performance.now();
    const which = JSON.stringify(entry.slice(0, 80));
    this.#spec.host.log.warn(
      `an entry of the bucket ${failuresBucket} counts for nothing: ${reason} (${which}; see who has certificates of the fleet; others are not told for an hour)`,
    );
  }
}

/** Names of users have characters that keys of buckets may not have, and are nobody's business there. */
function nameOf(key: string): string {
  const kind = key.slice(0, key.indexOf(' '));
  return `${kind}.${createHash('sha256').update(key).digest('hex')}`;
}
