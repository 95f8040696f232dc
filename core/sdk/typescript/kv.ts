// Buckets of keys and values, for plugin authors.

import type { Deliveries } from './deliveries.ts';
import type { Host, HostCallOptions } from './plugin.ts';

export interface KvEntry {
  readonly value: Uint8Array;
  readonly revision: number;
  /** When it was written, in Unix milliseconds. */
  readonly created: number;
}

export interface KvChange {
  readonly key: string;
  readonly operation: 'put' | 'delete';
  /** Of a put. */
  readonly value?: Uint8Array;
  readonly revision: number;
  readonly created: number;
}

export interface KvChanges {
  readonly changes: readonly KvChange[];
  /** What was told before does not count any more. */
  readonly reset: boolean;
  /** Nothing else was there when this was sent. */
  readonly current: boolean;
}

export interface BucketSpec {
  /** Values of a key that are kept. Default 1. */
  readonly history?: number;
  /** Age at which a value ends. Default: never. */
  readonly ttlMs?: number;
  readonly storage?: 'file' | 'memory';
  readonly replicas?: number;
  readonly maxBytes?: number;
  readonly description?: string;
}

export interface BucketInfo {
  /** Whether it was not there before. */
  readonly created: boolean;
  readonly history: number;
  readonly ttlMs: number;
  readonly storage: 'file' | 'memory';
  readonly replicas: number;
  readonly values: number;
  readonly bytes: number;
}

export interface Bucket {
  /** Makes it, unless it is there. */
  create(spec?: BucketSpec, options?: HostCallOptions): Promise<BucketInfo>;
  get(key: string, options?: HostCallOptions): Promise<KvEntry | null>;
  /** @returns the new revision */
  put(key: string, value: Uint8Array, options?: HostCallOptions): Promise<number>;
  /** Sets a key that still has this revision, 0 for one that has no value. @returns the new one, or null if it had another */
  update(key: string, value: Uint8Array, revision: number, options?: HostCallOptions): Promise<number | null>;
  /** @returns false if the key has another revision than this */
  delete(key: string, revision?: number, options?: HostCallOptions): Promise<boolean>;
  /** @param pattern with `*` for one word and a last `>` for all that follow; default all */
  keys(pattern?: string, options?: HostCallOptions): Promise<readonly string[]>;
  /** Tells what the keys have, then each change. An equal id of a new version goes on where the old one was. */
  watch(spec: { readonly id: string; readonly key?: string }, handler: (changes: KvChanges) => unknown): Promise<void>;
  unwatch(id: string): Promise<void>;
}

export interface Kv {
  /** A bucket on a connection that is open; nothing is asked yet. Needs `kv: [bucket]` and `bus: {connections: [connection]}`. */
  bucket(connection: string, bucket: string): Bucket;
}

export function createKv(host: Pick<Host, 'call'>, deliveries: Deliveries): Kv {
  return { bucket: (connection, bucket) => createBucket(host, deliveries, { connection, bucket }) };
}

function createBucket(
  host: Pick<Host, 'call'>,
  deliveries: Deliveries,
  place: { readonly connection: string; readonly bucket: string },
): Bucket {
  const ask = <T>(method: string, params: object, options?: HostCallOptions) =>
    host.call(method, { ...place, ...params }, options) as Promise<T>;
  return {
    create: (spec = {}, options) => ask<BucketInfo>('kv/create', spec, options),
    get: async (key, options) => (await ask<{ entry: KvEntry | null }>('kv/get', { key }, options)).entry,
    put: async (key, value, options) => (await ask<{ revision: number }>('kv/put', { key, value }, options)).revision,
    update: async (key, value, revision, options) =>
      (await ask<{ revision: number | null }>('kv/update', { key, value, revision }, options)).revision,
    delete: async (key, revision, options) =>
      (await ask<{ deleted: boolean }>('kv/delete', { key, ...(revision !== undefined && { revision }) }, options)).deleted,
    keys: async (key, options) => (await ask<{ keys: string[] }>('kv/keys', { ...(key !== undefined && { key }) }, options)).keys,
    watch: async (spec, handler) => {
      deliveries.on('kv/changes', spec.id, (params) => handler(params as unknown as KvChanges));
      await ask('kv/watch', spec);
    },
    unwatch: async (id) => {
      await host.call('kv/unwatch', { id });
      deliveries.off(id);
    },
  };
}
