// What generated clients are made of: a class for one agent, and its calls, whole or reply by reply.

import { type ActionItem, type AgentDDL, findAction, readDdl, withOutputDefaults } from '../wire/ddl.ts';
import { completeInput } from '../wire/ddl-input.ts';
import { buildFilter, type FilterFlags } from '../wire/filter.ts';
import { type Aggregated, aggregate } from './aggregate.ts';
import type { FleetClient } from './client.ts';
import type { NodeReply, RequestStatistics, RpcOptions } from './options.ts';
import { callRpc } from './request.ts';

/** Who is asked, and how. Without `filter`, `targets` and `nodesFile`: all nodes that have the agent. */
export interface ActionOptions {
  /** Which nodes, in the words of the command line: `{facts: ['os.family=Debian'], classes: ['web']}`. */
  readonly filter?: FilterFlags;
  /** Names of nodes; nobody else is looked for. */
  readonly targets?: readonly string[];
  /** File with names of nodes. */
  readonly nodesFile?: string;
  readonly collective?: string;
  /** Default: `discovery_timeout` of the configuration. */
  readonly discoveryTimeoutMs?: number;
  /** Time for replies. Default: the discovery time and that of the agent. */
  readonly timeoutMs?: number;
  /** At most so many nodes, such as `10` or `10%`. */
  readonly limit?: string;
  readonly limitSeed?: number;
  /** Groups of nodes, one after the other. Default sleep: 1,000 ms. */
  readonly batch?: { readonly size: number; readonly sleepMs?: number };
  /** Keeps the replies that an expression chooses, such as `ok() and data("load") > 2`; the others count in the statistics only. */
  readonly replyFilter?: string;
  /** Ends the call; what was sent is not taken back. */
  readonly signal?: AbortSignal;
}

/** The reply of one node. Outputs that it left out have the defaults of the DDL. */
export type ActionReply<Output> = Omit<NodeReply, 'data'> &
  ({ readonly ok: true; readonly data: Output } | { readonly ok: false; readonly data: unknown });

export interface ActionResult<Output, Summary extends string> {
  readonly replies: readonly ActionReply<Output>[];
  readonly statistics: RequestStatistics;
  /** The summaries that the DDL asks for, over the successful replies, by output. */
  readonly aggregates: Readonly<Partial<Record<Summary, Aggregated>>>;
}

/**
 * One call of an action. Nothing is sent before `result()` is called or the replies are iterated, and it is sent once:
 *
 *     for await (const reply of call) console.log(reply.sender);
 *     const { statistics } = await call.result();
 */
export class ActionCall<Output, Summary extends string = never> implements AsyncIterable<ActionReply<Output>> {
  readonly #action: ActionItem;
  readonly #send: (observer: Pick<RpcOptions, 'onReply' | 'signal'>) => ReturnType<typeof callRpc>;
  readonly #signal: AbortSignal | undefined;
  readonly #listeners = new Set<(reply: ActionReply<Output>) => void>();
  readonly #end = new AbortController();
  #result: Promise<ActionResult<Output, Summary>> | undefined;

  constructor(
    action: ActionItem,
    send: (observer: Pick<RpcOptions, 'onReply' | 'signal'>) => ReturnType<typeof callRpc>,
    signal: AbortSignal | undefined,
  ) {
    this.#action = action;
    this.#send = send;
    this.#signal = signal;
  }

  /** All replies, when the last node has answered or the time is up. The same promise each time. @throws what `callRpc` throws */
  result(): Promise<ActionResult<Output, Summary>> {
    this.#result ??= this.#run();
    return this.#result;
  }

  /** The replies as they come. Leaving the loop early ends the call. @throws what `callRpc` throws */
  async *[Symbol.asyncIterator](): AsyncGenerator<ActionReply<Output>, void, undefined> {
    const waiting: ActionReply<Output>[] = [];
    let wake: () => void = () => undefined;
    const listener = (reply: ActionReply<Output>) => {
      waiting.push(reply);
      wake();
    };
    this.#listeners.add(listener);
    let over = false;
    const ended = this.result().finally(() => {
      over = true;
      wake();
    });
    ended.catch(() => undefined);
    try {
      while (!over || waiting.length > 0) {
        const next = waiting.shift();
        if (next) yield next;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
      await ended;
    } finally {
      this.#listeners.delete(listener);
      if (!over) this.#end.abort(new Error('nobody reads the replies any more'));
    }
  }

  async #run(): Promise<ActionResult<Output, Summary>> {
    const signals = this.#signal ? [this.#signal, this.#end.signal] : [this.#end.signal];
    const { replies, statistics } = await this.#send({
      signal: AbortSignal.any(signals),
      onReply: (reply, chosen) => {
        if (!chosen) return;
        const complete = this.#complete(reply);
        for (const listener of this.#listeners) listener(complete);
      },
    });
    const complete = replies.map((reply) => this.#complete(reply));
    const good = complete.filter(({ ok }) => ok);
    return { replies: complete, statistics, aggregates: aggregatesOf(this.#action, good) };
  }

  #complete(reply: NodeReply): ActionReply<Output> {
    if (reply.statuscode !== 0) return { ...reply, ok: false };
    return { ...reply, ok: true, data: withOutputDefaults(this.#action, reply.data) as Output };
  }
}

/** Base of generated clients; needs what FleetClient needs. */
export class AgentClient {
  readonly #fleet: FleetClient;
  readonly #ddl: AgentDDL;

  constructor(fleet: FleetClient, ddl: unknown) {
    this.#fleet = fleet;
    this.#ddl = readDdl(ddl, 'the DDL of this client');
  }

  /** @throws DdlError if the input does not fit the DDL */
  protected call<Output, Summary extends string = never>(
    name: string,
    input: object,
    options: ActionOptions,
  ): ActionCall<Output, Summary> {
    const { metadata } = this.#ddl;
    const action = findAction(this.#ddl, name);
    const data = completeInput(action, input as Readonly<Record<string, unknown>>);
    const {
      filter,
      targets,
      nodesFile,
      collective,
      discoveryTimeoutMs,
      timeoutMs,
      limit,
      limitSeed,
      batch,
      replyFilter,
      signal,
    } = options;
    const request: RpcOptions = {
      agent: metadata.name,
      action: name,
      data,
      agentTimeout: metadata.timeout,
      service: metadata.service ?? false,
      discovery: {
        filter: buildFilter(filter ?? {}),
        ...(nodesFile !== undefined && { nodesFile }),
        ...(discoveryTimeoutMs !== undefined && { timeoutMs: discoveryTimeoutMs }),
      },
      ...(targets && { targets }),
      ...(collective !== undefined && { collective }),
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...(limit !== undefined && { limit }),
      ...(limitSeed !== undefined && { limitSeed }),
      ...(replyFilter !== undefined && { replyFilter }),
      ...(batch && { batchSize: batch.size }),
      ...(batch?.sleepMs !== undefined && { batchSleepMs: batch.sleepMs }),
    };
    return new ActionCall(action, (observer) => callRpc(this.#fleet, { ...request, ...observer }), signal);
  }
}

function aggregatesOf<Summary extends string>(
  action: ActionItem,
  replies: readonly { readonly data: unknown }[],
): Partial<Record<Summary, Aggregated>> {
  return Object.fromEntries(aggregate(action, replies).map((item) => [item.output, item])) as Partial<
    Record<Summary, Aggregated>
  >;
}
