// What generated clients are made of: a class for one agent, and its calls, whole or reply by reply.

import { type ActionItem, type AgentDDL, findAction, readDdl, withOutputDefaults } from '../wire/ddl.ts';
import { completeInput } from '../wire/ddl-input.ts';
import { buildFilter, type FilterFlags } from '../wire/filter.ts';
import { statusCodes } from '../wire/rpc.ts';
import { type Aggregated, Aggregator } from './aggregate.ts';
import type { CanaryOptions, CanaryVerdict } from './canary.ts';
import type { FleetClient } from './client.ts';
import type { NodeReply, RequestStatistics, RpcOptions } from './options.ts';
import { ReplyCall } from './reply-call.ts';
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
  /** A share of the nodes that is asked first, and has to succeed before the others are asked. */
  readonly canary?: CanaryOptions;
  /** How often nodes that did not answer in time are asked again; a node does not do the same request twice. */
  readonly retries?: number;
  /** Whether the result holds the replies; without, a call that is iterated needs no memory for them. Default true. */
  readonly keepReplies?: boolean;
  /** Replies that wait for a slow reader may have so many bytes; past it the call fails. Default: 128 MiB. */
  readonly maxWaitingBytes?: number;
  /** Ends the call; what was sent is not taken back. */
  readonly signal?: AbortSignal;
}

/** The reply of one node. Outputs that it left out have the defaults of the DDL. */
export type ActionReply<Output> = Omit<NodeReply, 'data'> &
  ({ readonly ok: true; readonly data: Output } | { readonly ok: false; readonly data: unknown });

export interface ActionResult<Output, Summary extends string> {
  readonly replies: readonly ActionReply<Output>[];
  readonly statistics: RequestStatistics;
  /** If there was a canary. */
  readonly canary?: CanaryVerdict;
  /** The summaries that the DDL asks for, over the successful replies, by output. */
  readonly aggregates: Readonly<Partial<Record<Summary, Aggregated>>>;
}

/** One call of an action; see {@link ReplyCall}. */
export class ActionCall<Output, Summary extends string = never> extends ReplyCall<
  ActionReply<Output>,
  ActionResult<Output, Summary>
> {
  constructor(fleet: FleetClient, action: ActionItem, request: RpcOptions) {
    super(async (take, signal) => {
      const replies: ActionReply<Output>[] = [];
      const aggregator = new Aggregator(action);
      const { statistics, canary } = await callRpc(fleet, {
        ...request,
        signal,
        keepReplies: false,
        onReply: (reply, chosen) => {
          if (!chosen) return undefined;
          const complete = withDefaults<Output>(action, reply);
          if (complete.ok) aggregator.add(complete.data);
          if (request.keepReplies !== false) replies.push(complete);
          return take(complete);
        },
      });
      const aggregates = Object.fromEntries(aggregator.results().map((item) => [item.output, item]));
      return {
        replies,
        statistics,
        ...(canary && { canary }),
        aggregates: aggregates as Partial<Record<Summary, Aggregated>>,
      };
    }, request.signal);
  }
}

function withDefaults<Output>(action: ActionItem, reply: NodeReply): ActionReply<Output> {
  if (reply.statuscode !== statusCodes.ok) return { ...reply, ok: false };
  return { ...reply, ok: true, data: withOutputDefaults(action, reply.data) as Output };
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
    const { filter, nodesFile, discoveryTimeoutMs, batch, ...rest } = options;
    const request: RpcOptions = {
      ...rest,
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
      ...(batch && { batchSize: batch.size }),
      ...(batch?.sleepMs !== undefined && { batchSleepMs: batch.sleepMs }),
    };
    return new ActionCall(this.#fleet, action, request);
  }
}
