// Stores of objects, for plugin authors.

import type { Host, HostCallOptions } from './plugin.ts';

export interface ObjectFacts {
  readonly size: number;
  /** `SHA-256=` and the hash in URL-safe base64. */
  readonly digest: string;
  /** Unix milliseconds. */
  readonly modified: number;
}

export interface StoredObject extends ObjectFacts {
  readonly value: Uint8Array;
}

export interface ListedObject extends ObjectFacts {
  readonly name: string;
}

export interface ObjectStoreSpec {
  /** Age at which an object ends. Default: never. */
  readonly ttlMs?: number;
  readonly storage?: 'file' | 'memory';
  readonly replicas?: number;
  readonly maxBytes?: number;
  readonly description?: string;
}

export interface ObjectStore {
  /** Makes it, unless it is there. @returns whether it was not */
  create(spec?: ObjectStoreSpec, options?: HostCallOptions): Promise<boolean>;
  /** Of at most 2 MiB; one that is there under this name is replaced. */
  put(name: string, value: Uint8Array, options?: HostCallOptions): Promise<ObjectFacts>;
  /** Whole, with its hash compared; null if there is none. */
  get(name: string, options?: HostCallOptions): Promise<StoredObject | null>;
  info(name: string, options?: HostCallOptions): Promise<ObjectFacts | null>;
  /** @returns false if there was none */
  delete(name: string, options?: HostCallOptions): Promise<boolean>;
  /** The first 10,000. */
  list(options?: HostCallOptions): Promise<readonly ListedObject[]>;
}

export interface Objects {
  /** @param connection name of an open connection of the bus */
  store(connection: string, bucket: string): ObjectStore;
}

export function createObjects(host: Pick<Host, 'call'>): Objects {
  return {
    store: (connection, bucket) => {
      const place = { connection, bucket };
      const call = async <T>(method: string, params: object, options?: HostCallOptions) =>
        (await host.call(`objects/${method}`, { ...place, ...params }, options)) as T;
      return {
        create: async (spec = {}, options) => (await call<{ created: boolean }>('create', spec, options)).created,
        put: (name, value, options) => call('put', { name, value }, options),
        get: async (name, options) => (await call<{ object: StoredObject | null }>('get', { name }, options)).object,
        info: async (name, options) => (await call<{ object: ObjectFacts | null }>('info', { name }, options)).object,
        delete: async (name, options) => (await call<{ deleted: boolean }>('delete', { name }, options)).deleted,
        list: async (options) => (await call<{ objects: ListedObject[] }>('list', {}, options)).objects,
      };
    },
  };
}
