// Buckets of keys and values on the bus: read, write, compare and write, watch. A bucket is a JetStream KV bucket.

import { JetStreamApiError, jetstreamManager } from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import type { NatsConnection } from 'nats';
import type { Host } from '../host/host.ts';
import type { Caller } from '../host/plugin.ts';
import { PluginError } from '../protocol/errors.ts';
import type { Connections } from './bus.ts';
import { type Capability, notGranted } from './capability.ts';
import { KvWatch } from './kv-watch.ts';

interface Place {
  readonly connection: string;
  readonly bucket: string;
}

interface KeyParams extends Place {
  readonly key: string;
}

interface CreateParams extends Place {
  readonly history?: number;
  readonly ttlMs?: number;
  readonly storage?: 'file' | 'memory';
  readonly replicas?: number;
  readonly maxBytes?: number;
  readonly description?: string;
}

interface WatchParams extends Place {
  readonly id: string;
  readonly key?: string;
}

const wrongRevision: ReadonlySet<number> = new Set([10_071, 10_164]);
const noStream = 10_059;
const retryAfterMs = 1_000;
const nanosecondsPerMs = 1e6;

export function createKv(host: Host, connections: Connections): Capability {
  const opened = new WeakMap<NatsConnection, Map<string, Promise<KV>>>();

  /** @throws PluginError `NOT_GRANTED`, `UNAVAILABLE` */
  const connectionFor = (caller: Caller, { connection, bucket }: Place): Promise<NatsConnection> => {
    if (!caller.spec.needs.kv?.includes(bucket))
      throw notGranted(caller, `may not use the bucket ${bucket}`, 'kv', `[${bucket}]`);
    return connections.of(caller, connection).ready();
  };

  const open = (nats: NatsConnection, bucket: string): Promise<KV> => {
    const known = opened.get(nats) ?? new Map<string, Promise<KV>>();
    opened.set(nats, known);
    const present = known.get(bucket);
    if (present) return present;
    const opening = new Kvm(nats).open(bucket);
    known.set(bucket, opening);
    opening.catch(() => known.delete(bucket));
    return opening;
  };

  const use = async <T>(caller: Caller, place: Place, act: (kv: KV) => Promise<T>): Promise<T> => {
    const nats = await connectionFor(caller, place);
    try {
      return await act(await open(nats, place.bucket));
    } catch (error) {
      throw explained(error, place);
    }
  };

  return {
    methods: {
      'kv/create': async (params: CreateParams, caller) => {
        const nats = await connectionFor(caller, params);
        try {
          return await createBucket(nats, params);
        } catch (error) {
          throw explained(error, params);
        }
      },
      'kv/get': (params: KeyParams, caller) =>
        use(caller, params, async (kv) => {
          const entry = await kv.get(params.key);
          if (entry?.operation !== 'PUT') return { entry: null };
          return { entry: { value: entry.value, revision: entry.revision, created: entry.created.getTime() } };
        }),
      'kv/put': (params: KeyParams & { value: Uint8Array }, caller) =>
        use(caller, params, async (kv) => ({ revision: await kv.put(params.key, params.value) })),
      'kv/update': (params: KeyParams & { value: Uint8Array; revision: number }, caller) =>
        use(caller, params, (kv) =>
          unlessChanged(async () => {
            const { key, value, revision } = params;
            return { revision: revision === 0 ? await kv.create(key, value) : await kv.update(key, value, revision) };
          }),
        ),
      'kv/delete': (params: KeyParams & { revision?: number }, caller) =>
        use(caller, params, async (kv) => {
          const { key, revision } = params;
          const outcome = await unlessChanged(async () => {
            await kv.delete(key, revision === undefined ? {} : { previousSeq: revision });
            return { revision: 0 };
          });
          return { deleted: outcome.revision !== null };
        }),
      'kv/keys': (params: Place & { key?: string }, caller) =>
        use(caller, params, async (kv) => {
          const keys: string[] = [];
          for await (const key of await kv.keys(params.key ?? '>')) keys.push(key);
          return { keys };
        }),
      'kv/watch': async (params: WatchParams, caller) => {
        // Refused now, and not in the background.
        if (!caller.spec.needs.kv?.includes(params.bucket))
          throw notGranted(caller, `may not use the bucket ${params.bucket}`, 'kv', `[${params.bucket}]`);
        connections.of(caller, params.connection);
        await caller.declare('kv', params.id, params, () => {
          const watch = new KvWatch({
            bucket: params.bucket,
            key: params.key ?? '>',
            connection: () => connectionFor(caller, params),
            deliver: (changes) => caller.plugin.deliver('kv/changes', { watch: params.id, ...changes }, 120_000),
            log: host.log.child({ plugin: caller.name, watch: params.id }),
          });
          return () => watch.close();
        });
      },
      'kv/unwatch': async ({ id }: { id: string }, caller) => {
        if (!(await caller.plugin.declarations.undeclare('kv', id)))
          throw new PluginError('NOT_FOUND', `${caller.name} has no watch ${id}`);
      },
    },
  };
}

async function createBucket(nats: NatsConnection, params: CreateParams): Promise<object> {
  const { bucket, history, ttlMs, storage, replicas, maxBytes, description } = params;
  const { streams } = await jetstreamManager(nats);
  const before = await streams.info(`KV_${bucket}`).catch((error: unknown) => {
    if (error instanceof JetStreamApiError && error.code === noStream) return undefined;
    throw error;
  });
  if (!before)
    await new Kvm(nats).create(bucket, {
      ...(history !== undefined && { history }),
      ...(ttlMs !== undefined && { ttl: ttlMs }),
      ...(storage !== undefined && { storage }),
      ...(replicas !== undefined && { replicas }),
      ...(maxBytes !== undefined && { max_bytes: maxBytes }),
      ...(description !== undefined && { description }),
    });
  const { config, state } = before ?? (await streams.info(`KV_${bucket}`));
  return {
    created: before === undefined,
    history: config.max_msgs_per_subject,
    ttlMs: (config.max_age ?? 0) / nanosecondsPerMs,
    storage: config.storage,
    replicas: config.num_replicas,
    values: state.messages,
    bytes: state.bytes,
  };
}

/** A revision of null says that somebody else was faster. */
async function unlessChanged(write: () => Promise<{ revision: number }>): Promise<{ revision: number | null }> {
  try {
    return await write();
  } catch (error) {
    if (error instanceof JetStreamApiError && wrongRevision.has(error.code)) return { revision: null };
    throw error;
  }
}

function explained(error: unknown, { bucket, connection }: Place): PluginError {
  if (error instanceof PluginError) return error;
  const { message } = error as Error;
  const code = error instanceof JetStreamApiError ? error.code : undefined;
  if (code === noStream || message === 'stream not found')
    return new PluginError('NOT_FOUND', `there is no bucket ${bucket} on the connection ${connection}; kv/create makes it`, {
      cause: error,
    });
  if (/^invalid (key|bucket)/.test(message))
    return new PluginError('INVALID_PARAMS', `${message}; it may have letters, digits and - / _ = . inside`, { cause: error });
  return new PluginError('UNAVAILABLE', `the bucket ${bucket} can not be used on the connection ${connection}: ${message}`, {
    cause: error,
    data: { retryAfterMs },
  });
}
