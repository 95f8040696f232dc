// The client of a fleet: one connection, over which requests are signed and sent and replies gathered.

import { setImmediate as turn } from 'node:timers/promises';
import { type Host, type Params, PluginError } from '../../core/sdk/typescript/index.ts';
import { type Brokers, federationServices, findBrokers, findFederationBrokers } from '../wire/brokers.ts';
import { tellConnection } from '../wire/connection-numbers.ts';
import { emptyFilter, type Filter, FilterError, maxFilterCharacters, weighFilter } from '../wire/filter.ts';
import { countLookups } from '../wire/lasting-connection.ts';
import { RoutedMessage } from '../wire/routing.ts';
import { newRequestId, pingPayload } from '../wire/rpc.ts';
import { securityPlugin } from '../wire/security-plugin.ts';
import { broadcastSubject, callerHash, federationSubject, fitsSubject, replySubject } from '../wire/subjects.ts';
import {
  clientSpanOf,
  readTraceparent,
  type Span,
  spanTime,
  type TraceContext,
  traceIdOf,
  traceparentText,
} from '../wire/trace.ts';
import { Collector, type CollectorOptions } from './collector.ts';
import { type ClientConfig, clientConfig } from './config.ts';
import { ClientError, checkWait } from './errors.ts';

const connection = 'client';

/** Subjects that one message to a federation names, as Choria groups them. */
const targetsPerMessage = 200;
/** A source that was given a time says itself that it is over, if it can. */
const sourceGraceMs = 2_000;
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
  /** Seconds that the clocks of nodes may differ from this one. Default: `ttl` of the configuration. */
  readonly ttl?: number;
  /** End `plugin.muster.discovery.window` after the last answer. */
  readonly windowed?: boolean;
  /** End after this many answers. */
  readonly expect?: number;
  readonly signal?: AbortSignal;
  /**
   * Told of each answer, with the milliseconds since the request was sent and the time of the node, in Unix seconds. The next
   * one waits for a promise that it returns.
   */
  readonly onAnswer?: (sender: string, ms: number, time: number) => unknown;
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
  plugins: ['security', 'agent', 'tracer', 'discovery'],
  metrics: true,
};

export interface FleetClientOptions {
  /** Member networks to reach through a federation, over CHORIA_FED_COLLECTIVE and `plugin.choria.federation.collectives`. */
  readonly federations?: readonly string[];
  /** The span that requests are made in, as W3C's `traceparent`. Without one, each request is a trace of its own. */
  readonly traceparent?: string;
}

/** Needs what `clientNeeds` lists. */
export class FleetClient {
  readonly config: ClientConfig;
  /** Member networks that every request goes to; without any, it goes to the brokers of this network. */
  readonly federations: readonly string[];
  readonly #host: Host;
  readonly #context: TraceContext | undefined;
  readonly #counters = { requests: 0, replies: 0 };
  #opening: Promise<Who> | undefined;

  constructor(host: Host, options: FleetClientOptions = {}) {
    this.#host = host;
    this.config = clientConfig(host.config);
    this.#context = readTraceparent(options.traceparent);
    this.federations = options.federations ?? configuredFederations(this.config, process.env.CHORIA_FED_COLLECTIVE);
  }

  get mainCollective(): string {
    return this.config.main_collective ?? this.config.collectives[0] ?? 'mcollective';
  }

  /** The collective to reach: the one asked for, or the main one. @throws ClientError for one that is not configured here */
  collective(asked: string = this.mainCollective): string {
    const known = [...new Set([this.mainCollective, ...this.config.collectives])];
    if (known.includes(asked)) return asked;
    throw new ClientError(
      'UNKNOWN_COLLECTIVE',
      `this client knows no collective '${asked}', only ${known.join(', ')}; add it to \`collectives\` in the configuration`,
    );
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
    checkWait('a ping', options.timeoutMs);
    const { expect } = options;
    if (expect !== undefined && !(Number.isInteger(expect) && expect >= 1))
      throw new ClientError('OPTIONS', `a ping can not end after ${expect} answers; give a whole number, 1 or more`);
    const id = newRequestId();
    return this.traced(
      id,
      'discovery',
      () => this.#ping(id, options),
      ({ answers }) => ({ 'muster.replies': answers.length }),
    );
  }

  async #ping(id: string, options: PingOptions): Promise<PingResult> {
    const begun = performance.now();
    const { callerid } = await this.open();
    const collective = this.collective(options.collective);
    const replyTo = replySubject(collective, callerid, id);
    const answers: { sender: string; ms: number }[] = [];
    const windowed = options.windowed ?? this.config['plugin.choria.discovery.broadcast.windowed_timeout'];
    const { expect = Number.POSITIVE_INFINITY, signal } = options;
    let sent = Number.POSITIVE_INFINITY;
    const collector = this.collect({
      id,
      subject: replyTo,
      onReply: ({ sender, time }, at) => {
        if (answers.length >= expect) return undefined;
        const ms = at - sent;
        answers.push({ sender, ms });
        const taken = options.onAnswer?.(sender, ms, time);
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
        ttl: options.ttl ?? this.config.ttl,
      };
      const payload = await this.seal(outgoing);
      // What it takes to connect and to sign is not taken from the nodes.
      sent = performance.now();
      await this.send(id, [broadcastSubject(collective, 'discovery')], payload);
      await collector.wait({
        timeoutMs: options.timeoutMs ?? this.config.discovery_timeout * 1000,
        isDone: () => answers.length >= expect,
        signal,
        ...(windowed && { windowMs: this.config['plugin.muster.discovery.window'] }),
      });
    } finally {
      await collector.close();
    }
    return { answers, duplicates: duplicatesOf(answers.map(({ sender }) => sender)), overheadMs: sent - begun };
  }

  /** Gathers replies to a request id; the caller opens and closes the collector. */
  collect({ onReply, ...options }: Omit<CollectorOptions, 'host' | 'security'>): Collector {
    const counted: CollectorOptions['onReply'] = (reply, at) => {
      this.#counters.replies += 1;
      return onReply(reply, at);
    };
    return new Collector({ host: this.#host, security: securityPlugin(this.config), ...options, onReply: counted });
  }

  /** Does the work of one request, and records it as a span where traces are followed; nodes hang theirs below it. */
  async traced<T>(id: string, name: string, work: () => Promise<T>, about: (result: T) => Span['attributes']): Promise<T> {
    if (!this.#records) return work();
    const start = spanTime();
    const record = async (attributes: Span['attributes'], message?: string) => {
      const span: Span = {
        trace: this.#context?.trace ?? traceIdOf(id),
        span: clientSpanOf(id),
        ...(this.#context && { parent: this.#context.parent }),
        name,
        role: 'client',
        start,
        end: spanTime(),
        ok: message === undefined,
        ...(message !== undefined && { message }),
        attributes: { 'muster.request': id, ...attributes },
      };
      await this.#host.plugins
        .call('tracer', 'otlp', 'tracer/record', { spans: [span] })
        .catch((error: Error) => this.#host.log.warn(`the span of request ${id} was lost: ${error.message}`));
    };
    try {
      const result = await work();
      await record(about(result));
      return result;
    } catch (error) {
      await record({}, (error as Error).message);
      throw error;
    }
  }

  get #records(): boolean {
    return this.config['plugin.muster.otlp_endpoint'] !== undefined && this.#context?.sampled !== false;
  }

  /** What nodes hang their spans below, where that is not to be derived from the id. */
  #traceparent(id: string): string | undefined {
    if (!this.#context) return undefined;
    return traceparentText({ ...this.#context, ...(this.#records && { parent: clientSpanOf(id) }) });
  }

  /** Signs a request. @throws FilterError for a filter that no node would look at */
  async seal({ id, agent, collective, filter, body, replyTo, ttl }: Outgoing): Promise<Uint8Array> {
    const weight = weighFilter(filter);
    if (weight > maxFilterCharacters)
      throw new FilterError(
        `the filter has ${weight} characters, and nodes look at ${maxFilterCharacters} at most; find the nodes in another way, such as with --nodes FILE`,
      );
    const { identity } = await this.open();
    const traceparent = this.#traceparent(id);
    const request = {
      id,
      agent,
      collective,
      ttl,
      filter,
      body,
      replyTo,
      sender: identity,
      ...(traceparent !== undefined && { traceparent }),
    };
    const { messages } = (await this.#host.plugins.call('security', securityPlugin(this.config), 'security/sign', {
      requests: [request],
    })) as {
      messages: { payload: Uint8Array }[];
    };
    const [message] = messages;
    if (!message) throw new PluginError('CONTRACT', 'the security plugin signed nothing');
    return message.payload;
  }

  /** Sends one signed request to some subjects, through the federation if there is one. @throws what the signal was aborted with */
  async send(id: string, subjects: readonly string[], payload: Uint8Array, signal?: AbortSignal): Promise<void> {
    this.#counters.requests += 1;
    if (this.federations.length > 0) {
      await this.#sendFederated(id, subjects, payload, signal);
      return;
    }
    for (let first = 0; first < subjects.length; first += sentAtOnce) {
      if (first > 0) await turn();
      signal?.throwIfAborted();
      const group = subjects.slice(first, first + sentAtOnce);
      await Promise.all(group.map((subject) => this.#host.bus.publish({ connection, subject, payload })));
    }
  }

  async #sendFederated(
    id: string,
    subjects: readonly string[],
    payload: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const message = new RoutedMessage(payload);
    for (let first = 0; first < subjects.length; first += targetsPerMessage) {
      signal?.throwIfAborted();
      const targets = subjects.slice(first, first + targetsPerMessage);
      const federated = message.withRouting({ ...message.routing, federation: { request: id, replyTo: '', targets } });
      for (const name of this.federations)
        await this.#host.bus.publish({ connection, subject: federationSubject(name, 'federation'), payload: federated });
    }
  }

  /** Asks a source of nodes. @throws FilterError if there is none of this name, and what it answers */
  async callSource(source: string, params: Params & { readonly timeoutMs: number }, signal?: AbortSignal): Promise<unknown> {
    const sources = (await this.#host.plugins.list('discovery')).map(({ name }) => name);
    if (!sources.includes(source))
      throw new FilterError(`there is no discovery method '${source}'; there are ${['broadcast', ...sources].sort().join(', ')}`);
    // Most keep to the time for discovery; one that hangs must not hang its user.
    const deadlineMs = Math.max(this.config['plugin.muster.discovery.source_timeout'], params.timeoutMs + sourceGraceMs);
    return this.#host.plugins
      .call('discovery', source, 'discovery/discover', params, { deadlineMs, ...(signal && { signal }) })
      .catch((error: unknown) => {
        if (!(error instanceof PluginError) || error.code !== 'DEADLINE') throw error;
        throw new FilterError(
          `the discovery method ${source} did not answer within ${deadlineMs / 1000} s; plugin.muster.discovery.source_timeout gives it more`,
          { cause: error },
        );
      });
  }

  async #connect(): Promise<Who> {
    const brokers = await this.#brokers();
    await countLookups(this.#host, brokers);
    const { tls, token, seed, ...who } = (await this.#host.plugins.call(
      'security',
      securityPlugin(this.config),
      'security/identity',
      {
        role: 'client',
      },
    )) as Who & { tls: object; token?: string; seed?: string };
    const { 'plugin.nats.user': user, 'plugin.nats.pass': password } = this.config;
    const spec = {
      connection,
      servers: brokers.urls,
      keepOrder: brokers.ordered,
      name: who.callerid,
      tls,
      ...(token !== undefined && { token }),
      ...(seed !== undefined && { seed }),
      // Whoever is known by a token may hear what is below this, and no other inbox.
      ...(token !== undefined && { inboxPrefix: `${this.mainCollective}.reply.${callerHash(who.callerid)}` }),
      connectTimeoutMs: this.config['plugin.choria.network.connect_timeout'],
      ...(user !== undefined && password !== undefined && { user, password }),
    };
    try {
      await this.#host.bus.open(spec);
    } catch (error) {
      throw withReason(error as Error, brokers);
    }
    if (this.config['plugin.choria.stats_port'] > 0 && this.#host.capabilities.metrics)
      await this.#host.metrics.onCollect(() => this.#tellNumbers(who.identity));
    return who;
  }

  async #tellNumbers(identity: string): Promise<void> {
    const { metrics } = this.#host;
    const set = (name: string, value: number, help: string) => metrics.set(name, value, { identity }, { type: 'counter', help });
    await tellConnection(this.#host, connection, { identity });
    await set('muster_client_requests_total', this.#counters.requests, 'Requests that were sent');
    await set('muster_client_replies_total', this.#counters.replies, 'Replies that belong to a request');
  }

  /** A client of a federation meets the federation's brokers only. @throws ClientError `FEDERATION` */
  async #brokers(): Promise<Brokers> {
    if (this.federations.length === 0) return findBrokers(this.config, process.env);
    const wrong = this.federations.find((name) => !fitsSubject(name) || name.includes('.'));
    if (wrong !== undefined)
      throw new ClientError(
        'FEDERATION',
        `'${wrong}' is no name of a member network of a federation; names have no dots and spaces`,
      );
    const brokers = await findFederationBrokers(this.config, process.env);
    if (brokers.urls.length > 0) return brokers;
    throw new ClientError(
      'FEDERATION',
      `to reach ${this.federations.join(', ')} this client needs the brokers of the federation; set plugin.choria.federation_middleware_hosts, or SRV records ${federationServices.join(' or ')}${toldProblems(brokers)}`,
    );
  }
}

/** Whoever has configured no broker should hear where others were looked for. */
function withReason(error: Error, brokers: Brokers): Error {
  if (brokers.from !== 'nowhere') return error;
  const message = `${error.message}; plugin.choria.middleware_hosts is not set and DNS names no brokers${toldProblems(brokers)}`;
  return new PluginError('UNAVAILABLE', message, { cause: error });
}

function toldProblems({ problems }: Brokers): string {
  return problems.length > 0 ? ` (${problems.join('; ')})` : '';
}

/** The names in the environment, else those of the configuration. */
function configuredFederations(config: ClientConfig, environment: string | undefined): readonly string[] {
  return environment ? splitNames(environment) : (config['plugin.choria.federation.collectives'] ?? []);
}

/** Names with commas between them. */
export function splitNames(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** Names that occur more than once. */
export function duplicatesOf(names: readonly string[]): string[] {
  const seen = new Set<string>();
  return [...new Set(names.filter((name) => seen.size === seen.add(name).size))].sort();
}
