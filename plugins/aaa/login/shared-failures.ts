// Wrong logins that other instances of the service counted. Each writes what it counted itself into a bucket that they share,
// and follows what the others write: who logs in waits for no broker, and while there is none, each goes on alone.

import { createHash, randomUUID } from 'node:crypto';
import { type SharedFailure, validate } from '#schemas/muster/aaa/v1/shared_failure';
import type { Bucket, Host, KvChanges } from '../../../core/sdk/typescript/index.ts';
import { options, SharedBucket } from './shared-bucket.ts';

export const failuresBucket = 'MUSTER_LOGIN_FAILURES';

/** Keys that are remembered; whoever comes with ever new names must not fill the memory. */
const mostKeys = 50_000;
/** Brokers that are away are asked again after this. */
const restMs = 5_000;

export interface SharedFailuresSpec {
  readonly host: Host;
  /** To the brokers; undefined where one instance is alone. */
  readonly connection: string | undefined;
  readonly replicas: number;
  readonly windowMs: number;
  readonly now: () => number;
  /** Another instance had a good login of this key. */
  readonly onCleared: (key: string) => void;
}

export class SharedFailures {
  readonly #spec: SharedFailuresSpec;
  readonly #shared: SharedBucket | undefined;
  readonly #instance = randomUUID();
  /** By digest of the key, then by instance. */
  readonly #others = new Map<string, Map<string, SharedFailure>>();
  /** Keys that this instance told of, by digest. */
  readonly #told = new Map<string, string>();
  #following: Promise<Bucket> | undefined;
  #failedAt = Number.NEGATIVE_INFINITY;

  constructor(spec: SharedFailuresSpec) {
    this.#spec = spec;
    const { host, connection, replicas, windowMs } = spec;
    const bucket = { ttlMs: windowMs, storage: 'memory', replicas, description: 'Wrong logins by instance' } as const;
    this.#shared = connection === undefined ? undefined : new SharedBucket(host, connection, failuresBucket, bucket);
  }

  /** What other instances counted of it within windows that are open. */
  count(key: string, now: number): number {
    let sum = 0;
    for (const { count, ends } of this.#others.get(digestOf(key))?.values() ?? []) if (ends > now) sum += count;
    return sum;
  }

  /** Tells the others, in the background. */
  tell(key: string, failure: SharedFailure): void {
    const digest = digestOf(key);
    this.#told.delete(digest);
    this.#told.set(digest, key);
    forgetOldest(this.#told);
    this.#inBackground((bucket) => bucket.put(`${digest}.${this.#instance}`, Buffer.from(JSON.stringify(failure)), options));
  }

  /** After a good login; asks no broker where nobody told of anything. */
  clear(key: string): void {
    const digest = digestOf(key);
    const instances = [...(this.#others.get(digest)?.keys() ?? []), ...(this.#told.delete(digest) ? [this.#instance] : [])];
    this.#others.delete(digest);
    for (const instance of instances) this.#inBackground((bucket) => bucket.delete(`${digest}.${instance}`, undefined, options));
  }

  #inBackground(work: (bucket: Bucket) => Promise<unknown>): void {
    if (!this.#shared || performance.now() - this.#failedAt < restMs) return;
    this.#followed(this.#shared)
      .then(work)
      .catch((error: Error) => {
        this.#failedAt = performance.now();
        this.#spec.host.log.warn(`wrong logins are not shared with other instances: ${error.message}`);
      });
  }

  /** From the first wrong login on: before it, what others counted is nobody's concern here. */
  #followed(shared: SharedBucket): Promise<Bucket> {
    this.#following ??= this.#follow(shared).catch((error) => {
      this.#following = undefined;
      throw error;
    });
    return this.#following;
  }

  async #follow(shared: SharedBucket): Promise<Bucket> {
    const bucket = await shared.open();
    await bucket.watch({ id: `failures:${this.#instance}`, key: '>' }, (changes) => this.#take(changes));
    return bucket;
  }

  #take({ changes, reset }: KvChanges): void {
    if (reset) this.#others.clear();
    for (const { key, operation, value } of changes) {
      const [digest = '', instance = ''] = key.split('.');
      if (instance === this.#instance) {
        if (operation === 'delete') this.#cleared(digest);
        continue;
      }
      const failure = operation === 'put' ? this.#read(value) : undefined;
      const known = this.#others.get(digest) ?? new Map<string, SharedFailure>();
      if (failure) known.set(instance, failure);
      else known.delete(instance);
      if (known.size > 0) this.#others.set(digest, known);
      else this.#others.delete(digest);
      forgetOldest(this.#others);
    }
  }

  /** Nobody is locked out for longer than here. */
  #read(bytes: Uint8Array | undefined): SharedFailure | undefined {
    const { now, windowMs } = this.#spec;
    try {
      const value: unknown = JSON.parse(Buffer.from(bytes ?? []).toString('utf8'));
      return validate(value) ? { count: value.count, ends: Math.min(value.ends, now() + windowMs) } : undefined;
    } catch {
      return undefined;
    }
  }

  #cleared(digest: string): void {
    const key = this.#told.get(digest);
    if (key === undefined) return;
    this.#told.delete(digest);
    this.#spec.onCleared(key);
  }
}

/** Names of users have characters that keys of buckets may not have, and are nobody's business there. */
function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

function forgetOldest(map: Map<string, unknown>): void {
  const [oldest] = map.keys();
  if (map.size > mostKeys && oldest !== undefined) map.delete(oldest);
}
