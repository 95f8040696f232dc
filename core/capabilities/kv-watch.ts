// One watch of a bucket: what is there, then what changes, in order and in parts, for as long as it is declared. It outlives
// connections: where one ends, it goes on from the last change that was taken.

import { setTimeout as sleep } from 'node:timers/promises';
import { type ConsumerMessages, DeliverPolicy, type JsMsg, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from 'nats';
import type { HostLog } from '../host/log.ts';
import { PluginError } from '../protocol/errors.ts';

/** What one delivery holds at most; the next waits until it is answered. */
const maxChanges = 256;
const maxPartBytes = 512 * 1024;
/** Messages that the broker sends ahead. */
const aheadMessages = 1_024;
/** What has come is handed over when nothing more comes for this long. */
const quietMs = 50;
const heartbeatMs = 5_000;
const expiresMs = 30_000;
const firstBackoffMs = 250;
const maxBackoffMs = 5_000;
const maxAttempts = 3;
const nanosecondsPerMs = 1e6;

export interface Change {
  readonly key: string;
  readonly operation: 'put' | 'delete';
  readonly value?: Uint8Array;
  readonly revision: number;
  /** Unix milliseconds. */
  readonly created: number;
}

export interface Changes {
  readonly changes: readonly Change[];
  /** What was told before does not count any more. */
  readonly reset: boolean;
  /** Nothing is left that was there before this was sent. */
  readonly current: boolean;
}

export interface WatchOptions {
  readonly bucket: string;
  /** May have wildcards. */
  readonly key: string;
  readonly connection: () => Promise<NatsConnection>;
  readonly deliver: (changes: Changes) => Promise<unknown>;
  readonly log: HostLog;
}

export class KvWatch {
  readonly #options: WatchOptions;
  readonly #ending = new AbortController();
  #messages: ConsumerMessages | undefined;
  #delivering: Promise<unknown> | undefined;
  #revision = 0;
  /** When the bucket was made. */
  #made = '';

  constructor(options: WatchOptions) {
    this.#options = options;
    void this.#run();
  }

  /** Hands nothing over any more; waits for what is being taken, and not for a broker that does not answer. */
  async close(): Promise<void> {
    this.#ending.abort();
    this.#messages?.stop();
    await this.#delivering?.catch(() => undefined);
  }

  async #run(): Promise<void> {
    let backoffMs = firstBackoffMs;
    let said = '';
    while (!this.#ending.signal.aborted) {
      const before = this.#revision;
      try {
        await this.#follow();
      } catch (error) {
        const { message } = error as Error;
        if (message !== said && !this.#ending.signal.aborted)
          this.#options.log.warn({ bucket: this.#options.bucket }, `the bucket can not be watched: ${message}; trying again`);
        said = message;
      }
      backoffMs = this.#revision > before ? firstBackoffMs : Math.min(maxBackoffMs, backoffMs * 2);
      await sleep(backoffMs, undefined, { signal: this.#ending.signal }).catch(() => undefined);
    }
  }

  async #follow(): Promise<void> {
    const { bucket, key } = this.#options;
    const nats = await this.#options.connection();
    const stream = `KV_${bucket}`;
    const { state, created } = await (await jetstreamManager(nats)).streams.info(stream);
    // A bucket that was made anew counts from the start.
    let reset = this.#revision === 0 || state.last_seq < this.#revision || created !== this.#made;
    if (reset) this.#revision = 0;
    this.#made = created;
    const prefix = `$KV.${bucket}.`;
    const consumer = await jetstream(nats).consumers.get(stream, {
      filter_subjects: `${prefix}${key}`,
      ...(reset ? { deliver_policy: DeliverPolicy.LastPerSubject } : { opt_start_seq: this.#revision + 1 }),
    });
    if ((await consumer.info(true)).num_pending === 0) {
      await this.#hand({ changes: [], reset, current: true });
      reset = false;
    }
    if (this.#ending.signal.aborted) return;
    this.#messages = await consumer.consume({ max_messages: aheadMessages, idle_heartbeat: heartbeatMs, expires: expiresMs });
    void endWithBucket(this.#messages);
    try {
      for await (const { changes, current } of inParts(this.#messages, prefix.length, state.last_seq)) {
        await this.#hand({ changes, reset, current });
        reset = false;
        this.#revision = changes.at(-1)?.revision ?? this.#revision;
      }
    } finally {
      this.#messages.stop();
      void consumer.delete().catch(() => undefined);
    }
  }

  /** What a version of the plugin did not live to answer is handed over again. */
  async #hand(changes: Changes): Promise<void> {
    for (let attempt = 1; !this.#ending.signal.aborted; attempt += 1) {
      try {
        this.#delivering = this.#options.deliver(changes);
        await this.#delivering;
        return;
      } catch (error) {
        const again = error instanceof PluginError && error.retryable && attempt < maxAttempts;
        if (again) continue;
        this.#options.log.warn({ bucket: this.#options.bucket }, `changes were not taken: ${(error as Error).message}`);
        return;
      }
    }
  }
}

/** The consumer is made anew by itself where it was lost, and would wait for numbers that a new bucket does not have. */
async function endWithBucket(messages: ConsumerMessages): Promise<void> {
  for await (const { type } of messages.status())
    if (type === 'stream_not_found' || type === 'consumer_deleted' || type === 'ordered_consumer_recreated') messages.stop();
}

/**
 * Ends a part where it is full, or where there is no more for now. Brokers say how much is still to come, and go on counting what
 * was purged meanwhile, so that a while without anything ends a part as well.
 * @param last number of what was the last when this began
 */
async function* inParts(
  messages: ConsumerMessages,
  prefixLength: number,
  last: number,
): AsyncGenerator<{ changes: Change[]; current: boolean }, void, undefined> {
  const incoming = messages[Symbol.asyncIterator]();
  let changes: Change[] = [];
  let bytes = 0;
  let current = false;
  for (let next = nextOf(incoming); ; ) {
    const came = changes.length === 0 ? await next : await unlessQuiet(next);
    if (came?.done) return;
    let isEnd = true;
    if (came) {
      next = nextOf(incoming);
      const { value: message } = came;
      const { pending } = message.info;
      changes.push(changeOf(message, prefixLength));
      bytes += message.data.length;
      current = pending === 0 || message.seq >= last;
      isEnd = pending === 0 || changes.length >= maxChanges || bytes >= maxPartBytes;
    }
    if (!isEnd) continue;
    yield { changes, current };
    changes = [];
    bytes = 0;
  }
}

/** It may fail while a part is being handed over, and is looked at afterwards. */
function nextOf<T>(incoming: AsyncIterator<T>): Promise<IteratorResult<T>> {
  const next = incoming.next();
  next.catch(() => undefined);
  return next;
}

async function unlessQuiet<T>(next: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const quiet = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, quietMs, undefined);
  });
  try {
    return await Promise.race([next, quiet]);
  } finally {
    clearTimeout(timer);
  }
}

function changeOf(message: JsMsg, prefixLength: number): Change {
  const deleted = message.headers?.has('KV-Operation') === true || message.headers?.has('Nats-Marker-Reason') === true;
  return {
    key: message.subject.slice(prefixLength),
    operation: deleted ? 'delete' : 'put',
    ...(!deleted && { value: message.data }),
    revision: message.seq,
    created: Math.floor(message.info.timestampNanos / nanosecondsPerMs),
  };
}
