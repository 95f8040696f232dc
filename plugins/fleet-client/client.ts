// The client of a fleet: one connection, over which requests are signed and sent and replies gathered.

import { setImmediate as turn } from 'node:timers/promises';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { brokerUrls } from '../wire/brokers.ts';
import { emptyFilter, type Filter } from '../wire/filter.ts';
import { newRequestId, pingPayload } from '../wire/rpc.ts';
import { broadcastSubject, replySubject } from '../wire/subjects.ts';
import { Collector, type CollectorOptions } from './collector.ts';
import type { ClientConfig } from './config.ts';

const connection = 'client';
/** A windowed discovery ends this long after the last answer. */
const windowMs = 300;
/** Messages that are sent before the event loop turns, so that replies are heard meanwhile. */
const sentAtOnce = 256;

export interface Who {
  readonly identity: string;
  readonly certname: string;
  readonly callerid: string;
}

/** A message to send: what it says, to whom, and where its replies go. */
export interface Outgoing {
  readonly id: string;
  readonly agent: string;
  readonly collective: string;
  readonly filter: Filter;
  readonly body: string;
  readonly replyTo: string;
  readonly ttl: number;
}

export interface PingOptions {
  readonly filter?: Filter;
  readonly collective?: string;
  readonly timeoutMs?: number;
  /** End soon after the last answer. */
  readonly windowed?: boolean;
  /** End after this many answers. */
  readonly expect?: number;
  readonly signal?: AbortSignal;
  /** Told of each answer, with the milliseconds since the request was sent. The next one waits for a promise that it returns. */
  readonly onAnswer?: (sender: string, ms: number) => unknown;
}

export interface PingResult {
  /** Every sender in order of arrival, once for each answer. */
  readonly answers: readonly { readonly sender: string; readonly ms: number }[];
  /** Names that answered more than once: two nodes that share an identity. */
  readonly duplicates: readonly string[];
  /** From the call to the moment that the request was sent. */
  readonly overheadMs: number;
}

/** What a program has to be granted to use a FleetClient, as under `needs:` in a manifest. */
export const clientNeeds = {
  bus: { connections: ['client'], open: true, publish: ['>'], subscribe: ['>'] },
  plugins: ['security', 'agent'],
};

/** Needs what `clientNeeds` lists. */
export class FleetClient {
  readonly config: ClientConfig;
  readonly #host: Host;
  #opening: Promise<Who> | undefined;

  constructor(host: Host) {
    this.#host = host;
    this.config = host.config as unknown as ClientConfig;
  }

  get mainCollective(): string {
    return this.config.main_collective ?? this.config.collectives[0] ?? 'mcollective';
  }

  /** Connects on first use. @throws PluginError `UNAVAILABLE` if no broker can be reached or the certificate is not there */
  open(): Promise<Who> {
    this.#opening ??= this.#connect();
    return this.#opening;
  }

  async close(): Promise<void> {
    if (!this.#opening) return;
    this.#opening = undefined;
    await this.#host.bus.close(connection).catch(() => undefined);
  }

  /** Asks all nodes that a filter fits to show themselves. */
  async ping(options: PingOptions = {}): Promise<PingResult> {
    const begun = performance.now();
    const { callerid } = await this.open();
    const collective = options.collective ?? this.mainCollective;
    const id = newRequestId();
    const replyTo = replySubject(collective, callerid, id);
    const answers: { sender: string; ms: number }[] = [];
    const windowed = options.windowed ?? this.config['plugin.choria.discovery.broadcast.windowed_timeout'];
    const { expect = Number.POSITIVE_INFINITY, signal } = options;
    let sent = Number.POSITIVE_INFINITY;
    const collector = this.collect({
      id,
      subject: replyTo,
      onReply: ({ sender }, at) => {
        if (answers.length >= expect) return undefined;
        const ms = at - sent;
        answers.push({ sender, ms });
        const taken = options.onAnswer?.(sender, ms);
        return taken instanceof Promise ? taken : undefined;
      },
    });
    try {
      await collector.open();
      const outgoing = {
        id,
        agent: 'discovery',
        collective,
        filter: options.filter ?? emptyFilter,
        body: pingPayload,
        replyTo,
        ttl: this.config.ttl,
      };
      const payload = await this.seal(outgoing);
      // What it takes to connect and to sign is not taken from the nodes.
      sent = performance.now();
      await this.send([broadcastSubject(collective, 'discovery')], payload);
      await collector.wait({
        timeoutMs: options.timeoutMs ?? this.config.discovery_timeout * 1000,
        isDone: () => answers.length >= expect,
        signal,
        ...(windowed && { windowMs }),
      });
    } finally {
      await collector.close();
    }
    return { answers, duplicates: duplicatesOf(answers.map(({ sender }) => sender)), overheadMs: sent - begun };
  }

  /** Gathers replies to a request id; the caller opens and closes the collector. */
  collect(options: Omit<CollectorOptions, 'host'>): Collector {
    return new Collector({ host: this.#host, ...options });
  }

  /** Signs a request. */
  async seal({ id, agent, collective, filter, body, replyTo, ttl }: Outgoing): Promise<Uint8Array> {
    const { identity } = await this.open();
    const request = { id, agent, collective, ttl, filter, body, replyTo, sender: identity };
    const { messages } = (await this.#host.plugins.call('security', 'x509', 'security/sign', { requests: [request] })) as {
      messages: { payload: Uint8Array }[];
    };
    const [message] = messages;
    if (!message) throw new PluginError('CONTRACT', 'the security plugin signed nothing');
    return message.payload;
  }

  /** Sends one signed request to some subjects. @throws what the signal was aborted with */
  async send(subjects: readonly string[], payload: Uint8Array, signal?: AbortSignal): Promise<void> {
    for (let first = 0; first < subjects.length; first += sentAtOnce) {
      if (first > 0) await turn();
      signal?.throwIfAborted();
      const group = subjects.slice(first, first + sentAtOnce);
      await Promise.all(group.map((subject) => this.#host.bus.publish({ connection, subject, payload })));
    }
  }

  async #connect(): Promise<Who> {
    const { tls, ...who } = (await this.#host.plugins.call('security', 'x509', 'security/identity', {
      role: 'client',
    })) as Who & { tls: object };
    const { 'plugin.nats.user': user, 'plugin.nats.pass': password } = this.config;
    await this.#host.bus.open({
      connection,
      servers: brokerUrls(this.config['plugin.choria.middleware_hosts']),
      name: who.callerid,
      tls,
      connectTimeoutMs: this.config['plugin.choria.network.connect_timeout'],
      ...(user !== undefined && password !== undefined && { user, password }),
    });
    return who;
  }
}

/** Names that occur more than once. */
export function duplicatesOf(names: readonly string[]): string[] {
  const seen = new Set<string>();
  return [...new Set(names.filter((name) => seen.size === seen.add(name).size))].sort();
}
