// The bus: named connections to NATS, publishing, and subscriptions that belong to the host.

import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ConnectionOptions,
  connect,
  type Msg,
  type MsgHdrs,
  headers as makeHeaders,
  type NatsConnection,
  type Subscription as NatsSubscription,
} from 'nats';
import type { Host } from '../host/host.ts';
import type { HostLog } from '../host/log.ts';
import type { Caller } from '../host/plugin.ts';
import { PluginError } from '../protocol/errors.ts';
import { type Capability, notGranted, subjectMatches } from './capability.ts';
import { tokenWithProof } from './nonce.ts';
import { Subscription } from './subscription.ts';

interface OpenParams {
  readonly connection: string;
  readonly servers: readonly string[];
  readonly keepOrder?: boolean;
  readonly wait?: boolean;
  readonly name?: string;
  readonly inboxPrefix?: string;
  readonly tls?: { readonly cert?: string; readonly key?: string; readonly ca?: string; readonly rejectUnauthorized?: boolean };
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** File with the ed25519 seed that signs the broker's nonce. */
  readonly seed?: string;
  readonly pingIntervalMs?: number;
  readonly connectTimeoutMs?: number;
}

interface PublishParams {
  readonly connection: string;
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly reply?: string;
  readonly headers?: Readonly<Record<string, readonly string[]>>;
}

interface SubscribeParams {
  readonly connection: string;
  readonly id: string;
  readonly subject: string;
  readonly queue?: string;
  readonly limit?: number;
}

/** Messages that may wait for a plugin, for each subscription. */
const defaultLimit = 65_536;
const defaultConnectTimeoutMs = 2_000;
const reconnectMs = 500;
const reconnectJitterMs = 1_500;
/** Between attempts to connect for the first time: from, up to, and how much longer each is; give or take a half. */
const [firstWaitMs, mostWaitMs, waitGrowth] = [750, 5_000, 1.5];
/** A failure that lasts is logged this often. */
const repeatMs = 60_000;
/** Publications kept while the first connection is being made. */
const maxEarly = 1_024;

/** The named connections of a host, for all capabilities that work over one. */
export class Connections extends Map<string, Connection> {
  /** @throws PluginError `NOT_GRANTED`, `UNAVAILABLE` */
  of(caller: Caller, name: string): Connection {
    if (!caller.spec.needs.bus?.connections?.includes(name))
      throw notGranted(caller, `may not use the connection ${name}`, 'bus', `{connections: [${name}]}`);
    const connection = this.get(name);
    if (!connection)
      throw new PluginError(
        'UNAVAILABLE',
        `the connection ${name} is not open; a plugin with \`needs: {bus: {open: true}}\` has to open it first`,
      );
    return connection;
  }
}

export function createBus(host: Host, connections: Connections): Capability {
  return {
    methods: {
      'bus/open': async (params: OpenParams, caller) => {
        const { bus } = caller.spec.needs;
        if (!bus?.open || !bus.connections?.includes(params.connection))
          throw notGranted(
            caller,
            `may not open the connection ${params.connection}`,
            'bus',
            `{open: true, connections: [${params.connection}]}`,
          );
        const contents = JSON.stringify(params);
        let connection = connections.get(params.connection);
        if (connection?.contents !== contents) {
          const before = connection;
          connection = new Connection(params, contents, host.log.child({ connection: params.connection }));
          connections.set(params.connection, connection);
          connection.open();
          if (before) await connection.takeOver(before);
        }
        if (params.wait !== false) await connection.connected();
        return connection.server === undefined ? {} : { server: connection.server };
      },
      'bus/close': async ({ connection }: { connection: string }, caller) => {
        await connections.of(caller, connection).close();
        connections.delete(connection);
      },
      'bus/info': ({ connection }: { connection: string }, caller) => connections.of(caller, connection).info(),
      'bus/publish': (params: PublishParams, caller) => {
        const connection = connections.of(caller, params.connection);
        if (!allows(caller.spec.needs.bus?.publish, params.subject))
          throw notGranted(caller, `may not publish to ${params.subject}`, 'bus', `{publish: [${params.subject}]}`);
        connection.publish(params);
      },
      'bus/subscribe': async (params: SubscribeParams, caller) => {
        const connection = connections.of(caller, params.connection);
        if (!allows(caller.spec.needs.bus?.subscribe, params.subject))
          throw notGranted(caller, `may not subscribe to ${params.subject}`, 'bus', `{subscribe: [${params.subject}]}`);
        await caller.declare('subscription', params.id, params, () => {
          const subscription = new Subscription({
            id: params.id,
            limit: params.limit ?? defaultLimit,
            deliver: (message) => caller.plugin.deliver('bus/message', message, 120_000),
            notify: (count) => caller.plugin.notify('bus/dropped', { subscription: params.id, count }),
            log: caller.plugin.log,
          });
          return connection.subscribe(params, subscription);
        });
      },
      'bus/unsubscribe': async ({ id }: { id: string }, caller) => {
        if (!(await caller.plugin.declarations.undeclare('subscription', id)))
          throw new PluginError('NOT_FOUND', `${caller.name} has no subscription ${id}`);
      },
    },
    close: async () => {
      for (const connection of connections.values()) await connection.close();
      connections.clear();
    },
  };
}

function allows(patterns: readonly string[] | undefined, subject: string): boolean {
  return patterns?.some((pattern) => subjectMatches(pattern, subject)) ?? false;
}

interface Subscribed {
  readonly params: SubscribeParams;
  readonly subscription: Subscription;
  nats: NatsSubscription | undefined;
  /** Of the connection that it is at: another takes it over when a connection is changed. */
  holder: Set<Subscribed>;
}

/** One named connection: made in the background and for ever, remade by the client library, with what was subscribed. */
class Connection {
  readonly contents: string;
  readonly #params: OpenParams;
  readonly #log: HostLog;
  readonly #subscribed = new Set<Subscribed>();
  readonly #early: PublishParams[] = [];
  #nats: NatsConnection | undefined;
  #connecting: Promise<NatsConnection> | undefined;
  #closed = false;
  #lost = false;
  readonly #ending = new AbortController();
  readonly #counters = { reconnects: 0, attempts: 0, losses: 0, errors: 0 };
  #connectMs = 0;

  constructor(params: OpenParams, contents: string, log: HostLog) {
    this.#params = params;
    this.contents = contents;
    this.#log = log;
  }

  get server(): string | undefined {
    return this.#nats && !this.#nats.isClosed() && !this.#lost ? `nats://${this.#nats.getServer()}` : undefined;
  }

  open(): void {
    this.#connecting = this.#connect();
    this.#connecting.then(
      (nats) => this.#established(nats),
      // Whoever waits for it is told.
      () => undefined,
    );
  }

  /** A node waits for its broker for ever, and says why now and then; a command that can't reach one says so at once. */
  async #connect(): Promise<NatsConnection> {
    let said = '';
    let saidAt = 0;
    const begun = performance.now();
    for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * waitGrowth, mostWaitMs)) {
      this.#counters.attempts += 1;
      try {
        const nats = await connect(this.#options());
        this.#connectMs = performance.now() - begun;
        return nats;
      } catch (error) {
        const { message } = error as Error;
        if (this.#params.wait !== false || this.#closed) throw error;
        if (message !== said || Date.now() - saidAt > repeatMs) {
          this.#log.error({ servers: this.#params.servers }, `cannot connect to the broker: ${message}; trying again`);
          said = message;
          saidAt = Date.now();
        }
        await sleep(waitMs * (0.5 + Math.random()), undefined, { signal: this.#ending.signal });
      }
    }
  }

  async connected(): Promise<void> {
    await this.ready();
  }

  /** The connection, once it is there. @throws PluginError `UNAVAILABLE` */
  async ready(): Promise<NatsConnection> {
    if (!this.#connecting) throw new PluginError('UNAVAILABLE', 'the connection was not opened');
    try {
      return await this.#connecting;
    } catch (error) {
      throw new PluginError('UNAVAILABLE', `cannot connect to ${this.#params.servers.join(', ')}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  /** Moves what the connection that this one replaces has subscribed and not yet published, then ends that one. */
  async takeOver(before: Connection): Promise<void> {
    for (const entry of before.#subscribed) {
      entry.nats = undefined;
      this.#add(entry);
    }
    before.#subscribed.clear();
    for (const params of before.#early.splice(0)) this.publish(params);
    await before.close();
  }

  publish(params: PublishParams): void {
    const nats = this.#nats;
    if (!nats) {
      if (this.#early.length >= maxEarly)
        throw new PluginError('UNAVAILABLE', 'the broker was not reached yet and too many messages wait for it', {
          data: { retryAfterMs: reconnectMs },
        });
      this.#early.push(params);
      return;
    }
    const { subject, payload, reply, headers } = params;
    const limit = nats.info?.max_payload ?? Number.POSITIVE_INFINITY;
    if (payload.length > limit)
      throw new PluginError('TOO_LARGE', `the message has ${payload.length} bytes, the broker accepts ${limit}`, {
        data: { bytes: payload.length, limit },
      });
    try {
      nats.publish(subject, payload, { ...(reply !== undefined && { reply }), ...(headers && { headers: toHeaders(headers) }) });
    } catch (error) {
      throw new PluginError('UNAVAILABLE', `${subject} could not be published: ${(error as Error).message}`, { cause: error });
    }
  }

  subscribe(params: SubscribeParams, subscription: Subscription): () => Promise<void> {
    const entry: Subscribed = { params, subscription, nats: undefined, holder: this.#subscribed };
    this.#add(entry);
    return async () => {
      entry.holder.delete(entry);
      entry.nats?.unsubscribe();
      await subscription.close();
    };
  }

  info(): Record<string, unknown> {
    const nats = this.#nats;
    const stats = nats?.stats();
    return {
      connected: this.server !== undefined,
      servers: this.#params.servers,
      name: this.#params.name ?? '',
      ...(this.server !== undefined && { server: this.server }),
      ...(nats?.info && { maxPayload: nats.info.max_payload }),
      inMessages: stats?.inMsgs ?? 0,
      outMessages: stats?.outMsgs ?? 0,
      inBytes: stats?.inBytes ?? 0,
      outBytes: stats?.outBytes ?? 0,
      ...this.#counters,
      connectMs: this.#connectMs,
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#ending.abort();
    // A connection that is still being made is closed when it is there.
    const nats = this.#nats;
    // What was published last still has to leave.
    await nats?.flush().catch(() => undefined);
    await nats?.close();
  }

  #add(entry: Subscribed): void {
    entry.holder = this.#subscribed;
    entry.holder.add(entry);
    if (this.#nats) this.#attach(entry, this.#nats);
  }

  #attach(entry: Subscribed, nats: NatsConnection): void {
    const { subject, queue } = entry.params;
    entry.nats = nats.subscribe(subject, {
      ...(queue !== undefined && { queue }),
      callback: (error: Error | null, message: Msg) => {
        if (error) this.#log.error({ subject }, `the subscription to ${subject} failed: ${error.message}`);
        else entry.subscription.push(fromMessage(entry.params.id, message));
      },
    });
  }

  #established(nats: NatsConnection): void {
    if (this.#closed) {
      void nats.close();
      return;
    }
    this.#nats = nats;
    this.#log.info({ server: nats.getServer() }, 'connected to the broker');
    for (const entry of this.#subscribed) this.#attach(entry, nats);
    for (const params of this.#early.splice(0)) this.publish(params);
    void this.#followStatus(nats);
  }

  async #followStatus(nats: NatsConnection): Promise<void> {
    for await (const status of nats.status()) {
      if (status.type === 'reconnect') {
        this.#counters.reconnects += 1;
        this.#lost = false;
        this.#log.info({ server: status.server }, 'connected to the broker again');
      } else if (status.type === 'disconnect') {
        this.#lost = true;
        this.#counters.losses += 1;
        this.#log.warn({ server: status.server }, 'the connection to the broker was lost; connecting again');
      } else if (status.type === 'error') {
        this.#counters.errors += 1;
        this.#log.error({}, `the broker says: ${status.error.message}`);
      }
    }
  }

  #options(): ConnectionOptions {
    const { servers, keepOrder, name, inboxPrefix, tls, user, password, token, seed } = this.#params;
    const { pingIntervalMs, connectTimeoutMs } = this.#params;
    return {
      servers: [...servers],
      ...(keepOrder && { noRandomize: true }),
      ...(name !== undefined && { name }),
      ...(inboxPrefix !== undefined && { inboxPrefix }),
      ...(user !== undefined && { user }),
      ...(password !== undefined && { pass: password }),
      ...(token !== undefined && (seed === undefined ? { token } : { authenticator: tokenWithProof(token, seed) })),
      ...(pingIntervalMs !== undefined && { pingInterval: pingIntervalMs }),
      ...(tls && {
        tls: {
          ...(tls.cert !== undefined && { certFile: tls.cert }),
          ...(tls.key !== undefined && { keyFile: tls.key }),
          ...(tls.ca !== undefined && { caFile: tls.ca }),
          ...(tls.rejectUnauthorized === false && { rejectUnauthorized: false }),
        },
      }),
      timeout: connectTimeoutMs ?? defaultConnectTimeoutMs,
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: reconnectMs,
      reconnectJitter: reconnectJitterMs,
      reconnectJitterTLS: reconnectJitterMs,
      ignoreAuthErrorAbort: true,
      // A stack for each request, in case it fails, costs more than the rest of the request.
      noAsyncTraces: true,
    };
  }
}

function fromMessage(subscription: string, message: Msg): Record<string, unknown> {
  const { subject, data, reply, headers } = message;
  return { subscription, subject, payload: data, ...(reply && { reply }), ...(headers && { headers: fromHeaders(headers) }) };
}

function fromHeaders(headers: MsgHdrs): Record<string, string[]> {
  return Object.fromEntries([...headers].map(([key, values]) => [key, values]));
}

function toHeaders(values: Readonly<Record<string, readonly string[]>>): MsgHdrs {
  const headers = makeHeaders();
  for (const [key, items] of Object.entries(values)) for (const item of items) headers.append(key, item);
  return headers;
}
