// Where placements are kept: in a bucket of the provisioning brokers, which all provisioners share, or in a file where there is
// no such connection, or nothing that keeps buckets.

import { type Bucket, type Host, type KvChanges, PluginError } from '../../core/sdk/typescript/index.ts';
import {
  keptBytes,
  type Placement,
  placementBucket,
  placementKey,
  readKept,
} from '../../plugins/wire/provisioning/overlay-placements.ts';
import { FileStore } from './file-store.ts';
import type { Ledger } from './ledger.ts';

export interface PlacementStore {
  /** Resolves when it is durable. */
  write(placement: Placement): Promise<void>;
}

const connection = 'provisioning';
const watchId = 'placements';
const callMs = 5_000;
const loadMs = 8_000;

/** Fills the ledger, and keeps it in step with what others write. @throws PluginError if the broker can't be reached now */
export async function openStore(host: Host, ledger: Ledger, forgetMs: number): Promise<PlacementStore> {
  const file = () => FileStore.open(host.stateFolder ?? '.', ledger);
  const info = await host.bus.info(connection).catch(() => undefined);
  if (!info) return file();
  if (!info.connected)
    throw new PluginError('UNAVAILABLE', 'placements can not be read, since no provisioning broker is reached');
  const bucket = host.kv.bucket(connection, placementBucket);
  try {
    await bucket.create({ history: 1, ttlMs: forgetMs, description: 'Overlays of nodes' }, { deadlineMs: callMs });
  } catch (error) {
    if (!hasNoBuckets(error)) throw error;
    host.log.warn(
      'the provisioning brokers keep no buckets (JetStream is off), so placements are kept in a file of this machine',
    );
    return file();
  }
  const store = new BucketStore(bucket, ledger);
  await store.load();
  return store;
}

class BucketStore implements PlacementStore {
  readonly #bucket: Bucket;
  readonly #ledger: Ledger;
  /** Of these the ledger has what is being written. */
  readonly #writing = new Map<string, number>();

  constructor(bucket: Bucket, ledger: Ledger) {
    this.#bucket = bucket;
    this.#ledger = ledger;
  }

  async load(): Promise<void> {
    let late: NodeJS.Timeout | undefined;
    const loaded = new Promise<void>((resolve, reject) => {
      late = setTimeout(() => reject(new PluginError('UNAVAILABLE', `placements could not be read within ${loadMs} ms`)), loadMs);
      this.#bucket
        .watch({ id: watchId }, (changes) => {
          this.#take(changes);
          if (changes.current) resolve();
        })
        .catch(reject);
    });
    try {
      await loaded;
    } catch (error) {
      await this.#bucket.unwatch(watchId).catch(() => undefined);
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  async write(placement: Placement): Promise<void> {
    const key = placementKey(placement.identity);
    this.#writing.set(key, (this.#writing.get(key) ?? 0) + 1);
    try {
      await this.#bucket.put(key, keptBytes(placement), { deadlineMs: callMs });
    } finally {
      const rest = (this.#writing.get(key) ?? 1) - 1;
      if (rest > 0) this.#writing.set(key, rest);
      else this.#writing.delete(key);
    }
  }

  #take({ changes, reset }: KvChanges): void {
    if (reset) this.#ledger.clear();
    for (const { key, operation, value } of changes) {
      if (this.#writing.has(key)) continue;
      const kept = operation === 'put' && value ? readKept(key, value) : undefined;
      if (kept) this.#ledger.apply(kept);
      else this.#ledger.removeKey(key);
    }
  }
}

function hasNoBuckets(error: unknown): boolean {
  return error instanceof PluginError && /jetstream.*not enabled|not enabled.*jetstream|no responders|503/i.test(error.message);
}
