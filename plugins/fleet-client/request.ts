// One RPC request from its targets to its last reply: discovery, limit, canary, batches, retries, statistics.

import { setTimeout as sleep } from 'node:timers/promises';
import { printable } from '../../core/sdk/typescript/index.ts';
import { ExprError } from '../wire/expr/index.ts';
import { emptyFilter, isEmptyFilter, withAgent } from '../wire/filter.ts';
import { compileReplyFilter, type ReplyFilter } from '../wire/reply-filter.ts';
import { newRequestId, type RpcReply, readRpcReply, statusCodes } from '../wire/rpc.ts';
import { isNodeName, nodeSubject, replySubject, serviceSubject } from '../wire/subjects.ts';
import { type CanaryPlan, type CanaryVerdict, planCanary } from './canary.ts';
import type { FleetClient } from './client.ts';
import { Clocks } from './clocks.ts';
import type { Collector, Received } from './collector.ts';
import { type Discovered, discover } from './discovery.ts';
import { limitTargets } from './limit.ts';
import {
  checkOptions,
  type NodeReply,
  RequestError,
  type RequestStatistics,
  type RpcOptions,
  type RpcResult,
} from './options.ts';
import { Tally } from './tally.ts';
import { travellingFilter } from './travel.ts';

const defaultAgentTimeout = 10;
const defaultBatchSleepMs = 1_000;

/**
 * Invokes an action and gathers the replies until every target has answered or the time is up.
 * @throws RequestError; LimitError; CollectError if replies are taken too slowly; what the client throws; the signal's reason
 */
export async function callRpc(client: FleetClient, options: RpcOptions): Promise<RpcResult> {
  checkOptions(options);
  const choose = replyFilterOf(options.replyFilter);
  const { callerid } = await client.open();
  const found = await findTargets(client, options);
  return new Request(client, options, choose, found, callerid).run();
}

/** @throws RequestError `OPTIONS` */
function namesOf(targets: readonly string[]): readonly string[] {
  const wrong = targets.find((name) => !isNodeName(name));
  if (wrong === undefined) return [...new Set(targets)];
  throw new RequestError('OPTIONS', `${printable(JSON.stringify(wrong.slice(0, 60)))} is no name of a node`);
}

interface Found {
  readonly targets: readonly string[];
  readonly discovered?: Discovered;
}

/** Nodes to ask, in order. None for a service. */
async function findTargets(client: FleetClient, options: RpcOptions): Promise<Found> {
  const { agent, service, collective, discovery, signal, limit, limitSeed, onDiscovered } = options;
  if (service) return { targets: [] };
  const filter = discovery?.filter ?? emptyFilter;
  const isOpen = isEmptyFilter(filter) && discovery?.nodesFile === undefined && !discovery?.piped && !options.targets;
  if (client.config['plugin.choria.require_client_filter'] && isOpen)
    throw new RequestError(
      'FILTER_REQUIRED',
      'this client is configured to send nothing without a filter; give one with -F, -C, -I or -W',
    );
  const discovered: Discovered = options.targets
    ? { nodes: namesOf(options.targets), method: 'identities', ms: 0, duplicates: [] }
    : await discover(client, {
        ...discovery,
        filter,
        agent,
        collective: client.collective(collective),
        ...(signal && { signal }),
      });
  if (discovered.nodes.length === 0) throw new RequestError('NO_TARGETS', 'did not discover any nodes');
  const targets = limitTargets(discovered.nodes, limit, client.config.rpclimitmethod, limitSeed);
  onDiscovered?.(discovered, targets);
  return { targets, discovered };
}

class Request {
  readonly #client: FleetClient;
  readonly #options: RpcOptions;
  readonly #found: Found;
  readonly #id = newRequestId();
  readonly #collective: string;
  readonly #replyTo: string;
  readonly #collector: Collector | undefined;
  readonly #tally: Tally;
  readonly #chosen: NodeReply[] = [];
  readonly #choose: ReplyFilter;
  readonly #failures = { count: 0, reason: '' };
  readonly #clocks = new Clocks();
  #sealedSecond = 0;
  #publishMs = 0;
  #awaitedOk = 0;
  #groups = 0;

  constructor(client: FleetClient, options: RpcOptions, choose: ReplyFilter, found: Found, callerid: string) {
    this.#client = client;
    this.#options = options;
    this.#found = found;
    this.#choose = choose;
    this.#collective = client.collective(options.collective);
    this.#replyTo = options.replyTo ?? replySubject(client.mainCollective, callerid, this.#id);
    this.#tally = new Tally(options.service);
    if (options.replyTo === undefined)
      this.#collector = client.collect({
        id: this.#id,
        subject: this.#replyTo,
        onReply: (reply, at) => this.#received(reply, at),
        ...(options.maxWaitingBytes !== undefined && { maxWaitingBytes: options.maxWaitingBytes }),
      });
  }

  run(): Promise<RpcResult> {
    const { agent, action } = this.#options;
    return this.#client.traced(
      this.#id,
      `${agent}#${action}`,
      () => this.#run(),
      ({ statistics: { discovered, responses, failed } }) => ({
        'muster.agent': agent,
        'muster.action': action,
        'muster.targets': discovered,
        'muster.replies': responses,
        'muster.failed': failed,
      }),
    );
  }

  async #run(): Promise<RpcResult> {
    const { targets } = this.#found;
    const { canary, limitSeed } = this.#options;
    const plan = canary && planCanary(targets, canary, this.#client.config.rpclimitmethod, limitSeed);
    const start = new Date();
    const begun = performance.now();
    let verdict: CanaryVerdict | undefined;
    try {
      await this.#collector?.open();
      if (plan) verdict = await this.#askCanary(plan);
      if (!plan) await this.#ask(targets);
      else if (verdict?.passed && plan.rest.length > 0) await this.#ask(plan.rest);
    } finally {
      await this.#collector?.close();
    }
    const notAsked = plan && !verdict?.passed ? plan.rest : [];
    return {
      replies: this.#chosen,
      statistics: this.#statistics(start, performance.now() - begun, notAsked),
      ...(verdict && { canary: verdict }),
      filterFailures: this.#failures,
    };
  }

  async #askCanary({ canary, needed }: CanaryPlan): Promise<CanaryVerdict> {
    await this.#ask(canary);
    const ok = this.#awaitedOk;
    return { asked: canary.length, ok, needed, passed: ok >= needed };
  }

  /** Group by group; no pause after the last. */
  async #ask(targets: readonly string[]): Promise<void> {
    const { batchSize = targets.length, batchSleepMs = defaultBatchSleepMs, signal } = this.#options;
    const size = Math.max(1, batchSize);
    for (let first = 0; first === 0 || first < targets.length; first += size) {
      if (this.#groups > 0 && this.#options.batchSize !== undefined) await pause(batchSleepMs, signal);
      this.#groups += 1;
      await this.#askGroup(targets.slice(first, first + size));
    }
  }

  async #askGroup(targets: readonly string[]): Promise<void> {
    const { signal, retries = 0 } = this.#options;
    if (this.#collector) this.#tally.expect(targets);
    await this.#publish(targets);
    for (let again = 0; this.#collector; again += 1) {
      await this.#collector.wait({ timeoutMs: this.#timeoutMs(), isDone: () => this.#tally.isComplete, signal });
      if (this.#tally.isComplete || again >= retries) break;
      const silent = this.#tally.outstanding;
      this.#tally.expectAgain(silent);
      await this.#untilAnotherSecond();
      await this.#publish(silent);
    }
    this.#tally.giveUp();
  }

  /** Nodes drop what is the same to the byte as a replay; a message has its time in seconds. */
  async #untilAnotherSecond(): Promise<void> {
    const { signal } = this.#options;
    const left = () => (this.#sealedSecond + 1) * 1000 - Date.now();
    // A timer may end a little before the clock says so.
    while (left() > 0) await pause(left(), signal);
  }

  /** Signed for each group, since a message of minutes ago is too old. */
  #seal(): Promise<Uint8Array> {
    const { agent, action, data, service, discovery } = this.#options;
    const filter = travellingFilter(discovery?.filter ?? emptyFilter, this.#found.discovered?.method ?? 'identities');
    return this.#client.seal({
      id: this.#id,
      agent,
      collective: this.#collective,
      filter: service ? emptyFilter : withAgent(filter, agent),
      body: JSON.stringify({ agent, action, data }),
      replyTo: this.#replyTo,
      ttl: this.#options.ttl ?? this.#client.config.ttl,
    });
  }

  async #publish(targets: readonly string[]): Promise<void> {
    const { service, agent, signal } = this.#options;
    const payload = await this.#seal();
    this.#sealedSecond = Math.floor(Date.now() / 1000);
    const begun = performance.now();
    const subjects = service
      ? [serviceSubject(this.#collective, agent)]
      : targets.map((target) => nodeSubject(this.#collective, target));
    await this.#client.send(this.#id, subjects, payload, signal);
    this.#publishMs += performance.now() - begun;
  }

  #received(message: Received, at: number): Promise<void> | undefined {
    const { sender, body, time } = message;
    const arrived = Date.now() - (performance.now() - at);
    this.#clocks.note(sender, time, arrived);
    const admitted = this.#tally.admit(sender);
    if (admitted === 'repeated') return undefined;
    const reply: NodeReply = { ...this.#read(body), sender, time: new Date(arrived) };
    if (reply.statuscode === statusCodes.ok) {
      this.#tally.ok += 1;
      if (admitted === 'awaited') this.#awaitedOk += 1;
    }
    const chosen = this.#isChosen(reply);
    if (chosen && this.#options.keepReplies !== false) this.#chosen.push(reply);
    const taken = this.#options.onReply?.(reply, chosen, message);
    return taken instanceof Promise ? taken : undefined;
  }

  #read(body: string): RpcReply {
    try {
      return readRpcReply(body);
    } catch (error) {
      const { message } = error as Error;
      return { action: this.#options.action, statuscode: statusCodes.unknownError, statusmsg: message, data: {} };
    }
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

  #statistics(start: Date, requestMs: number, notAsked: readonly string[]): RequestStatistics {
    const { targets, discovered } = this.#found;
    const tally = this.#tally;
    return {
      requestId: this.#id,
      discovered: this.#options.service ? tally.answered : targets.length,
      responses: tally.responses,
      ok: tally.ok,
      failed: tally.responses - tally.ok,
      noResponses: tally.silent,
      unexpectedResponses: tally.unexpected,
      duplicates: discovered?.duplicates ?? [],
      unusable: this.#collector?.unusable ?? 0,
      notAsked: [...notAsked].sort(),
      askedAgain: tally.askedAgain,
      clocks: this.#clocks.warnings(this.#client.config.ttl),
      publishMs: this.#publishMs,
      requestMs,
      discoverMs: discovered?.ms ?? 0,
      start,
    };
  }
}

/** @throws what the signal was aborted with */
async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(ms, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
}

function replyFilterOf(source: string | undefined): ReplyFilter {
  if (source === undefined) return () => true;
  try {
    return compileReplyFilter(source);
  } catch (error) {
    throw new RequestError('REPLY_FILTER', `the reply filter can not be used: ${(error as Error).message}`, { cause: error });
  }
}
