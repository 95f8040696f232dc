// One RPC request from its targets to its last reply: discovery, limit, batches, statistics.

import { setTimeout as sleep } from 'node:timers/promises';
import { ExprError } from '../wire/expr/index.ts';
import { emptyFilter, type Filter, isEmptyFilter, withAgent } from '../wire/filter.ts';
import { compileReplyFilter, type ReplyFilter } from '../wire/reply-filter.ts';
import { newRequestId, type RpcReply, readRpcReply } from '../wire/rpc.ts';
import { nodeSubject, replySubject, serviceSubject } from '../wire/subjects.ts';
import type { FleetClient } from './client.ts';
import type { Received } from './collector.ts';
import { type Discovered, type DiscoverOptions, discover } from './discovery.ts';
import { limitTargets } from './limit.ts';

export class RequestError extends Error {
  override readonly name = 'RequestError';
  readonly code: 'NO_TARGETS' | 'FILTER_REQUIRED' | 'REPLY_FILTER';

  constructor(code: RequestError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface RpcOptions {
  readonly agent: string;
  readonly action: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** What the agent allows itself, in seconds; the request waits for the discovery time and this. Default 10. */
  readonly agentTimeout?: number;
  /** One member of the agent's group answers, whoever it is. */
  readonly service?: boolean;
  readonly collective?: string;
  /** Nodes to reach; without them, those that the filter finds. */
  readonly targets?: readonly string[];
  readonly discovery?: Omit<DiscoverOptions, 'agent' | 'signal' | 'collective'>;
  readonly limit?: string;
  readonly limitSeed?: number;
  readonly batchSize?: number;
  readonly batchSleepMs?: number;
  readonly timeoutMs?: number;
  /** Replies go to this subject and nobody waits for them here. */
  readonly replyTo?: string;
  /** Expression that chooses replies, such as `ok() and data("load") > 2`. Others are counted, and left out of the result. */
  readonly replyFilter?: string;
  readonly signal?: AbortSignal;
  readonly onDiscovered?: (discovered: Discovered, targets: readonly string[]) => void;
  /** Told of each reply, and whether the filter chose it. */
  readonly onReply?: (reply: NodeReply, chosen: boolean) => void;
}

export interface NodeReply extends RpcReply {
  readonly sender: string;
  /** When it came. */
  readonly time: Date;
}

/** Times in milliseconds. */
export interface RequestStatistics {
  readonly requestId: string;
  readonly discovered: number;
  readonly responses: number;
  readonly ok: number;
  readonly failed: number;
  readonly noResponses: readonly string[];
  /** Nodes that were not asked, or answered more than once. */
  readonly unexpectedResponses: readonly string[];
  readonly duplicates: readonly string[];
  readonly publishMs: number;
  readonly requestMs: number;
  readonly discoverMs: number;
  readonly start: Date;
}

export interface RpcResult {
  /** Those that the reply filter chose; without one, all. */
  readonly replies: readonly NodeReply[];
  /** Of all replies. */
  readonly statistics: RequestStatistics;
  /** Replies that the filter failed for, which are left out; and why the first of them did. */
  readonly filterFailures: { readonly count: number; readonly reason: string };
}

const defaultAgentTimeout = 10;

/**
 * Invokes an action and gathers the replies until every target has answered or the time is up.
 * @throws RequestError `NO_TARGETS`, `FILTER_REQUIRED`, `REPLY_FILTER`; LimitError; what the client throws; the signal's reason
 */
export async function callRpc(client: FleetClient, options: RpcOptions): Promise<RpcResult> {
  const request = new Request(client, options);
  return request.run();
}

class Request {
  readonly #client: FleetClient;
  readonly #options: RpcOptions;
  readonly #id = newRequestId();
  readonly #collective: string;
  readonly #replies: NodeReply[] = [];
  readonly #outstanding = new Set<string>();
  readonly #unexpected = new Set<string>();
  readonly #silent = new Set<string>();
  readonly #chosen: NodeReply[] = [];
  readonly #choose: ReplyFilter;
  readonly #failures = { count: 0, reason: '' };
  #publishMs = 0;
  #ok = 0;

  constructor(client: FleetClient, options: RpcOptions) {
    this.#client = client;
    this.#options = options;
    this.#choose = replyFilterOf(options.replyFilter);
    this.#collective = options.collective ?? client.mainCollective;
  }

  async run(): Promise<RpcResult> {
    const { callerid } = await this.#client.open();
    const found = await this.#findTargets();
    const { batchSize = found.targets.length, batchSleepMs = 1_000, signal } = this.#options;
    const replyTo = this.#options.replyTo ?? replySubject(this.#client.mainCollective, callerid, this.#id);
    const payload = await this.#seal(replyTo);
    const start = new Date();
    const begun = performance.now();
    for (let first = 0; first === 0 || first < found.targets.length; first += Math.max(1, batchSize)) {
      if (first > 0) await sleep(batchSleepMs, undefined, signal && { signal });
      await this.#runBatch(payload, replyTo, found.targets.slice(first, first + Math.max(1, batchSize)));
    }
    const statistics = this.#statistics(found, start, performance.now() - begun);
    return { replies: this.#chosen, statistics, filterFailures: this.#failures };
  }

  async #findTargets(): Promise<{ targets: readonly string[]; discovered: Discovered | undefined }> {
    const { agent, service, discovery, signal, limit, limitSeed, onDiscovered } = this.#options;
    if (service) return { targets: [], discovered: undefined };
    const filter = discovery?.filter ?? emptyFilter;
    if (
      this.#client.config['plugin.choria.require_client_filter'] &&
      isEmptyFilter(filter) &&
      !discovery?.nodesFile &&
      !discovery?.piped &&
      !this.#options.targets
    )
      throw new RequestError(
        'FILTER_REQUIRED',
        'this client is configured to send nothing without a filter; give one with -F, -C, -I or -W',
      );
    const discovered = this.#options.targets
      ? ({ nodes: this.#options.targets, method: 'identities', ms: 0, duplicates: [] } as const)
      : await discover(this.#client, { ...discovery, filter, agent, collective: this.#collective, ...(signal && { signal }) });
    if (discovered.nodes.length === 0) throw new RequestError('NO_TARGETS', 'did not discover any nodes');
    const targets = limitTargets(discovered.nodes, limit, this.#client.config.rpclimitmethod, limitSeed);
    onDiscovered?.(discovered, targets);
    return { targets, discovered };
  }

  /** The user's filter served discovery; what goes to the nodes asks for the agent only. */
  #seal(replyTo: string): Promise<Uint8Array> {
    const { agent, action, data, service } = this.#options;
    const filter: Filter = service ? emptyFilter : withAgent(emptyFilter, agent);
    const body = JSON.stringify({ agent, action, data });
    return this.#client.seal({
      id: this.#id,
      agent,
      collective: this.#collective,
      filter,
      body,
      replyTo,
      ttl: this.#client.config.ttl,
    });
  }

  async #runBatch(payload: Uint8Array, replyTo: string, targets: readonly string[]): Promise<void> {
    const { service = false, signal } = this.#options;
    if (this.#options.replyTo !== undefined) {
      await this.#publish(payload, targets);
      return;
    }
    const collector = this.#client.collect(this.#id, replyTo, (reply) => {
      this.#received(reply);
      if (service || this.#outstanding.size === 0) collector.end();
    });
    for (const target of targets) this.#outstanding.add(target);
    try {
      await collector.open();
      await this.#publish(payload, targets);
      collector.endAfter(this.#timeoutMs());
      await collector.ended(signal);
    } finally {
      await collector.close();
      for (const target of this.#outstanding) this.#silent.add(target);
      this.#outstanding.clear();
    }
  }

  async #publish(payload: Uint8Array, targets: readonly string[]): Promise<void> {
    const begun = performance.now();
    if (this.#options.service) await this.#client.publish(serviceSubject(this.#collective, this.#options.agent), payload);
    else await Promise.all(targets.map((target) => this.#client.publish(nodeSubject(this.#collective, target), payload)));
    this.#publishMs += performance.now() - begun;
  }

  #received({ sender, body }: Received): void {
    if (!this.#outstanding.delete(sender) && !this.#options.service) this.#unexpected.add(sender);
    let reply: RpcReply;
    try {
      reply = readRpcReply(body);
    } catch (error) {
      reply = { action: this.#options.action, statuscode: 5, statusmsg: (error as Error).message, data: {} };
    }
    if (reply.statuscode === 0) this.#ok += 1;
    const received = { ...reply, sender, time: new Date() };
    this.#replies.push(received);
    const chosen = this.#isChosen(received);
    if (chosen) this.#chosen.push(received);
    this.#options.onReply?.(received, chosen);
  }

  #isChosen(reply: NodeReply): boolean {
    try {
      return this.#choose(reply);
    } catch (error) {
      if (!(error instanceof ExprError)) throw error;
      this.#failures.count += 1;
      this.#failures.reason ||= error.message;
      return false;
    }
  }

  #timeoutMs(): number {
    const { timeoutMs, agentTimeout = defaultAgentTimeout } = this.#options;
    return timeoutMs ?? (this.#client.config.discovery_timeout + (agentTimeout || defaultAgentTimeout)) * 1000;
  }

  #statistics(
    { targets, discovered }: { targets: readonly string[]; discovered: Discovered | undefined },
    start: Date,
    requestMs: number,
  ): RequestStatistics {
    const answered = new Set(this.#replies.map(({ sender }) => sender));
    return {
      requestId: this.#id,
      discovered: this.#options.service ? answered.size : targets.length,
      responses: this.#replies.length,
      ok: this.#ok,
      failed: this.#replies.length - this.#ok,
      noResponses: [...this.#silent].sort(),
      unexpectedResponses: [...this.#unexpected].sort(),
      duplicates: discovered?.duplicates ?? [],
      publishMs: this.#publishMs,
      requestMs,
      discoverMs: discovered?.ms ?? 0,
      start,
    };
  }
}

function replyFilterOf(source: string | undefined): ReplyFilter {
  if (source === undefined) return () => true;
  try {
    return compileReplyFilter(source);
  } catch (error) {
    throw new RequestError('REPLY_FILTER', `the reply filter can not be used: ${(error as Error).message}`, { cause: error });
  }
}
