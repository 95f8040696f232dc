// What outlives a provisioner: how far each node under work got, the epoch, whether work is paused. In buckets of the
// provisioning brokers, or, where those have no JetStream, in the state folder.

import { type NodeRecord, validate } from '#schemas/muster/provisioning/v1/node_record';
import { type Bucket, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { connection } from './node-rpc.ts';

export type { NodeRecord };

/** A record as it is kept, and the revision that the next write has to replace. */
export interface Held {
  readonly record: NodeRecord;
  readonly revision: number;
}

export interface Store {
  readonly kind: 'bucket' | 'file';
  /** Everything, when a leader begins. */
  load(): Promise<readonly Held[]>;
  get(identity: string): Promise<Held | undefined>;
  /** The new revision; null if somebody else wrote meanwhile. 0 for a record that is not there yet. */
  write(record: NodeRecord, revision: number): Promise<number | null>;
  /** A number that is higher than all before. */
  nextEpoch(): Promise<number>;
  isPaused(): Promise<boolean>;
  setPaused(paused: boolean): Promise<void>;
  close(): Promise<void>;
}

export const nodesBucket = 'MUSTER_PROVISIONER_NODES';
export const controlBucket = 'MUSTER_PROVISIONER';
/** Records of nodes that nobody works on any more. */
const keepMs = 6 * 3_600_000;
const loadMs = 60_000;
const callMs = 5_000;
const maxTries = 16;

export class BucketStore implements Store {
  readonly kind = 'bucket';
  readonly #nodes: Bucket;
  readonly #control: Bucket;

  constructor(host: Host) {
    this.#nodes = host.kv.bucket(connection, nodesBucket);
    this.#control = host.kv.bucket(connection, controlBucket);
  }

  /** @throws PluginError if there is no such thing here */
  async open(replicas: number): Promise<void> {
    const options = { deadlineMs: callMs };
    await this.#control.create({ history: 1, replicas, description: 'Epoch and pause of the provisioners' }, options);
    await this.#nodes.create({ history: 1, ttlMs: keepMs, replicas, description: 'Nodes that are being enrolled' }, options);
  }

  async load(): Promise<readonly Held[]> {
    const found = new Map<string, Held>();
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(
        () => reject(new PluginError('UNAVAILABLE', 'the records of nodes could not be read in time')),
        loadMs,
      );
      const done = () => {
        clearTimeout(late);
        resolve();
      };
      this.#nodes
        .watch({ id: 'load' }, ({ changes, current }) => {
          for (const { key, value, revision } of changes) {
            const record = value && readRecord(value);
            if (record) found.set(key, { record, revision });
            else found.delete(key);
          }
          if (current) done();
        })
        .catch(reject);
    });
    await this.#nodes.unwatch('load').catch(() => undefined);
    return [...found.values()];
  }

  async get(identity: string): Promise<Held | undefined> {
    const entry = await this.#nodes.get(keyOf(identity), { deadlineMs: callMs });
    const record = entry && readRecord(entry.value);
    if (!entry) return undefined;
    // What can't be read is replaced like what is old.
    return { record: record ?? { identity, epoch: 0, step: 'failed', attempt: 0, at: 0 }, revision: entry.revision };
  }

  write(record: NodeRecord, revision: number): Promise<number | null> {
    return this.#nodes.update(keyOf(record.identity), Buffer.from(JSON.stringify(record)), revision, { deadlineMs: callMs });
  }

  async nextEpoch(): Promise<number> {
    for (let attempt = 0; attempt < maxTries; attempt += 1) {
      const before = await this.#control.get('epoch', { deadlineMs: callMs });
      const epoch = Math.max(Date.now(), Number(before ? Buffer.from(before.value).toString() : 0) + 1);
      const written = await this.#control.update('epoch', Buffer.from(String(epoch)), before?.revision ?? 0, {
        deadlineMs: callMs,
      });
      if (written !== null) return epoch;
    }
    throw new PluginError('UNAVAILABLE', 'the epoch was changed by others all the time');
  }

  async isPaused(): Promise<boolean> {
    const entry = await this.#control.get('paused', { deadlineMs: callMs });
    return entry !== null && Buffer.from(entry.value).toString() === 'yes';
  }

  async setPaused(paused: boolean): Promise<void> {
    await this.#control.put('paused', Buffer.from(paused ? 'yes' : 'no'), { deadlineMs: callMs });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Whether the trouble is that the brokers keep nothing at all, and not that they can't be reached. */
export function hasNoBuckets(error: unknown): boolean {
  return error instanceof PluginError && /jetstream.*not enabled|not enabled.*jetstream|no responders|503/i.test(error.message);
}

export function readRecord(bytes: Uint8Array): NodeRecord | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    return validate(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Names of nodes are keys as they are, but for those with letters that no key has. */
function keyOf(identity: string): string {
  return /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(identity) ? identity : `=${Buffer.from(identity).toString('hex')}`;
}
