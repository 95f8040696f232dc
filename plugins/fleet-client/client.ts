// The client of a fleet: one connection, over which requests are signed and sent and replies gathered.

import { type Host, type Params, PluginError } from '../../core/sdk/typescript/index.ts';
import { brokerUrls } from '../wire/brokers.ts';
import { emptyFilter, type Filter, FilterError } from '../wire/filter.ts';
import { newRequestId, pingPayload } from '../wire/rpc.ts';
import { broadcastSubject, replySubject } from '../wire/subjects.ts';
import { Collector, type Received } from './collector.ts';
import type { ClientConfig } from './config.ts';

const connection = 'client';
/** A windowed discovery ends this long after the last answer. */
const windowMs = 300;

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
  /** Told of each answer, with the milliseconds since the request was sent. */
  readonly onAnswer?: (sender: string, ms: number) => void;
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
  plugins: ['security', 'agent', 'discovery'],
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
    const timeoutMs = options.timeoutMs ?? this.config.discovery_timeout * 1000;
    let sent = Number.POSITIVE_INFINITY;
    const collector = new Collector(this.#host, id, replyTo, ({ sender }) => {
      const ms = performance.now() - sent;
      answers.push({ sender, ms });
      options.onAnswer?.(sender, ms);
      if (answers.length === options.expect) collector.end();
      // The window slides with each answer, and not past the time for all of them.
      else if (windowed) collector.endAfter(Math.min(windowMs, timeoutMs - ms));
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
      collector.endAfter(timeoutMs);
      sent = performance.now();
      await this.publish(broadcastSubject(collective, 'discovery'), payload);
      await collector.ended(options.signal);
    } finally {
      await collector.close();
    }
    return { answers, duplicates: duplicatesOf(answers.map(({ sender }) => sender)), overheadMs: sent - begun };
  }

  /** Gathers replies to a request id; the caller opens and closes the collector. */
  collect(id: string, replyTo: string, onReply: (reply: Received) => void): Collector {
    return new Collector(this.#host, id, replyTo, onReply);
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

  /** Asks a source of nodes. @throws FilterError if there is none of this name, and what it answers */
  async callSource(source: string, params: Params, signal?: AbortSignal): Promise<unknown> {
    const sources = (await this.#host.plugins.list('discovery')).map(({ name }) => name);
    if (!sources.includes(source))
      throw new FilterError(`there is no discovery method '${source}'; there are ${['broadcast', ...sources].sort().join(', ')}`);
    return this.#host.plugins.call('discovery', source, 'discovery/discover', params, signal && { signal });
  }

  publish(subject: string, payload: Uint8Array): Promise<void> {
    return this.#host.bus.publish({ connection, subject, payload });
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
