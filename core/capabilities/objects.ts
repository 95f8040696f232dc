// Stores of objects on the bus: put, read, list, delete. A store is a JetStream object store; what is in it is larger than
// a value of a bucket, and goes as one message here, so its size is bounded.

import { setTimeout as sleep } from 'node:timers/promises';
import { JetStreamApiError, jetstreamManager } from '@nats-io/jetstream';
import { type ObjectInfo, type ObjectStore, Objm } from '@nats-io/obj';
import type { NatsConnection } from 'nats';
import type { Caller } from '../host/plugin.ts';
import { PluginError } from '../protocol/errors.ts';
import type { Connections } from './bus.ts';
import { type Capability, notGranted } from './capability.ts';

interface Place {
  readonly connection: string;
  readonly bucket: string;
}

interface NameParams extends Place {
  readonly name: string;
}

interface CreateParams extends Place {
  readonly ttlMs?: number;
  readonly storage?: 'file' | 'memory';
  readonly replicas?: number;
  readonly maxBytes?: number;
  readonly description?: string;
}

/** As base64 it fits into a line of the protocol. */
const maxObjectBytes = 2 * 1024 * 1024;
const maxListed = 10_000;
const noStream = 10_059;
const retryAfterMs = 1_000;
/** For one object, and how often that is tried while it changes. */
const [readMs, readTries] = [5_000, 3];
const nanosecondsPerMs = 1e6;

export function createObjects(connections: Connections): Capability {
  const opened = new WeakMap<NatsConnection, Map<string, Promise<ObjectStore>>>();

  /** @throws PluginError `NOT_GRANTED`, `UNAVAILABLE` */
  const connectionFor = (caller: Caller, { connection, bucket }: Place): Promise<NatsConnection> => {
    if (!caller.spec.needs.objects?.includes(bucket))
      throw notGranted(caller, `may not use the object store ${bucket}`, 'objects', `[${bucket}]`);
    return connections.of(caller, connection).ready();
  };

  const open = (nats: NatsConnection, bucket: string): Promise<ObjectStore> => {
    const known = opened.get(nats) ?? new Map<string, Promise<ObjectStore>>();
    opened.set(nats, known);
    const present = known.get(bucket);
    if (present) return present;
    const opening = new Objm(nats).open(bucket);
    known.set(bucket, opening);
    opening.catch(() => known.delete(bucket));
    return opening;
  };

  const use = async <T>(
    caller: Caller,
    place: Place,
    act: (store: ObjectStore, nats: NatsConnection) => Promise<T>,
  ): Promise<T> => {
    const nats = await connectionFor(caller, place);
    try {
      return await act(await open(nats, place.bucket), nats);
    } catch (error) {
      // A store that was removed and made again is another one.
      opened.get(nats)?.delete(place.bucket);
      throw explained(error, place);
    }
  };

  return {
    methods: {
      'objects/create': async (params: CreateParams, caller) => {
        const nats = await connectionFor(caller, params);
        try {
          return await createStore(nats, params);
        } catch (error) {
          throw explained(error, params);
        }
      },
      'objects/put': (params: NameParams & { value: Uint8Array }, caller) => {
        const { name, value, bucket } = params;
        if (value.length > maxObjectBytes)
          throw new PluginError(
            'TOO_LARGE',
            `an object for ${bucket} has ${value.length} bytes, at most ${maxObjectBytes} are taken; split it, or hand it over by file`,
          );
        return use(caller, params, async (store) => facts(await store.putBlob({ name }, value)));
      },
      'objects/get': (params: NameParams, caller) =>
        use(caller, params, async (store) => {
          const info = await store.info(params.name);
          if (!info || info.deleted) return { object: null };
          if (info.size > maxObjectBytes)
            throw new PluginError(
              'TOO_LARGE',
              `an object of ${params.bucket} has ${info.size} bytes, at most ${maxObjectBytes} are read`,
            );
          const value = await readWhole(store, info);
          return { object: value === null ? null : { ...facts(info), value } };
        }),
      'objects/info': (params: NameParams, caller) =>
        use(caller, params, async (store) => {
          const info = await store.info(params.name);
          return { object: !info || info.deleted ? null : facts(info) };
        }),
      'objects/delete': (params: NameParams, caller) =>
        use(caller, params, async (store) => {
          const info = await store.info(params.name);
          if (!info || info.deleted) return { deleted: false };
          return { deleted: (await store.delete(params.name)).success };
        }),
      'objects/list': (params: Place, caller) =>
        use(caller, params, async (store) => {
          const objects = (await store.list()).filter(({ deleted }) => !deleted);
          return {
            objects: objects.slice(0, maxListed).map((info) => ({ name: info.name, ...facts(info) })),
            all: objects.length,
          };
        }),
    },
  };
}

/** Its hash is compared by the library, which waits for ever for the rest of an object that is replaced meanwhile. */
async function readWhole(store: ObjectStore, { name, nuid }: ObjectInfo): Promise<Uint8Array | null> {
  for (let left = readTries; ; left -= 1) {
    const ended = new AbortController();
    const late = sleep(readMs, undefined, { signal: ended.signal, ref: false }).then(() => undefined);
    late.catch(() => undefined);
    const value = await Promise.race([store.getBlob(name), late]);
    ended.abort();
    if (value !== undefined) return value;
    const now = await store.info(name);
    if (left <= 1 || now?.nuid === nuid) throw new Error('an object did not come within its time');
  }
}

function facts({ size, digest, mtime }: ObjectInfo): { size: number; digest: string; modified: number } {
  return { size, digest, modified: Date.parse(mtime) };
}

async function createStore(nats: NatsConnection, params: CreateParams): Promise<{ created: boolean }> {
  const { bucket, ttlMs, storage, replicas, maxBytes, description } = params;
  const { streams } = await jetstreamManager(nats);
  const before = await streams.info(`OBJ_${bucket}`).catch((error: unknown) => {
    if (error instanceof JetStreamApiError && error.code === noStream) return undefined;
    throw error;
  });
  if (before) return { created: false };
  await new Objm(nats).create(bucket, {
    ...(ttlMs !== undefined && { ttl: ttlMs * nanosecondsPerMs }),
    ...(storage !== undefined && { storage }),
    ...(replicas !== undefined && { replicas }),
    ...(maxBytes !== undefined && { max_bytes: maxBytes }),
    ...(description !== undefined && { description }),
  });
  return { created: true };
}

function explained(error: unknown, { bucket, connection }: Place): PluginError {
  if (error instanceof PluginError) return error;
  const { message } = error as Error;
  if ((error instanceof JetStreamApiError && error.code === noStream) || /stream not found|object store not found/.test(message))
    return new PluginError(
      'NOT_FOUND',
      `there is no object store ${bucket} on the connection ${connection}; objects/create makes it`,
      { cause: error },
    );
  return new PluginError(
    'UNAVAILABLE',
    `the object store ${bucket} can not be used on the connection ${connection}: ${message}`,
    {
      cause: error,
      data: { retryAfterMs },
    },
  );
}
