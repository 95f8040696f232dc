// What an RPC request is asked with and what it comes to.

import { emptyFilter, isEmptyFilter } from '../wire/filter.ts';
import type { RpcReply } from '../wire/rpc.ts';
import { type CanaryOptions, type CanaryVerdict, checkCanary } from './canary.ts';
import type { Received } from './collector.ts';
import type { Discovered, DiscoverOptions } from './discovery.ts';
import { checkWait } from './errors.ts';
import { countOf } from './limit.ts';

export class RequestError extends Error {
  override readonly name = 'RequestError';
  readonly code: 'NO_TARGETS' | 'FILTER_REQUIRED' | 'REPLY_FILTER' | 'OPTIONS';

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
  /** `10` or `10%` of the nodes. */
  readonly limit?: string;
  readonly limitSeed?: number;
  /** A share of the nodes that is asked first, and has to succeed before the others are asked. */
  readonly canary?: CanaryOptions;
  /** Groups of so many nodes, one after the other. */
  readonly batchSize?: number;
  /** Pause between groups. Default: 1,000. */
  readonly batchSleepMs?: number;
  /** Seconds that the clocks of nodes may differ from this one. Default: `ttl` of the configuration. */
  readonly ttl?: number;
  /** For each group. */
  readonly timeoutMs?: number;
  /**
   * How often nodes that did not answer in time are asked again, with the same request id. A node answers a request that it has
   * done from its ledger; Choria's servers have none and do it again.
   */
  readonly retries?: number;
  /** Replies go to this subject and nobody waits for them here. */
  readonly replyTo?: string;
  /** Expression that chooses replies, such as `ok() and data("load") > 2`. Others are counted, and left out of the result. */
  readonly replyFilter?: string;
  /** Whether the result holds the replies. Without, memory does not grow with their number. Default true. */
  readonly keepReplies?: boolean;
  /** Replies that came and wait to be read may have so many bytes; past it the request fails. Default: 128 MiB. */
  readonly maxWaitingBytes?: number;
  readonly signal?: AbortSignal;
  readonly onDiscovered?: (discovered: Discovered, targets: readonly string[]) => void;
  /**
   * Told of each reply, whether the filter chose it, and the message that it came in. The next one waits for a promise that
   * this returns.
   */
  readonly onReply?: (reply: NodeReply, chosen: boolean, message: Received) => unknown;
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
  /** Messages on the reply subject that were no replies to this request: forged, altered, or to another one. */
  readonly unusable: number;
  readonly duplicates: readonly string[];
  /** Nodes that were left alone, since the canary failed. */
  readonly notAsked: readonly string[];
  /** How many nodes were asked more than once. */
  readonly askedAgain: number;
  /** What is wrong with the clocks of nodes, or with this one, in sentences. */
  readonly clocks: readonly string[];
  readonly publishMs: number;
  readonly requestMs: number;
  readonly discoverMs: number;
  readonly start: Date;
}

export interface RpcResult {
  /** Those that the reply filter chose; without one, all. Empty if they were not to be kept. */
  readonly replies: readonly NodeReply[];
  /** Of all replies. */
  readonly statistics: RequestStatistics;
  /** If there was a canary. */
  readonly canary?: CanaryVerdict;
  /** Replies that the filter failed for, which are left out; and why the first of them did. */
  readonly filterFailures: { readonly count: number; readonly reason: string };
}

/** What makes no sense together. @throws RequestError `OPTIONS` */
export function checkOptions(options: RpcOptions): void {
  const { service, targets, discovery, replyTo, canary, retries = 0, batchSize, batchSleepMs = 0, limit } = options;
  const refuse = (message: string) => {
    throw new RequestError('OPTIONS', message);
  };
  if (service && (targets || discovery?.nodesFile !== undefined))
    refuse('a service is answered by whichever member of its group is free; it can not be asked of certain nodes');
  if (service && !isEmptyFilter(discovery?.filter ?? emptyFilter))
    refuse('a service is answered by whichever member of its group is free; leave the filter out');
  if (service && canary) refuse('one member of a service answers; there is nothing for a canary to try first');
  if (service && retries > 0)
    refuse('a service can not be asked again: another member may answer, who does not know what the first one did');
  if (replyTo !== undefined && (canary || retries > 0))
    refuse('replies that go elsewhere are not seen here; leave out the canary and the retries, or the reply subject');
  if (replyTo !== undefined && !/^[^\s*>.]+(\.[^\s*>.]+)*$/.test(replyTo))
    refuse(`replies can not go to '${replyTo}'; a reply subject has words with dots between, such as mcollective.reply.mine`);
  if (batchSize !== undefined && !(Number.isInteger(batchSize) && batchSize >= 1))
    refuse(`a batch can not have ${batchSize} nodes; give a whole number, 1 or more`);
  if (!(Number.isInteger(retries) && retries >= 0))
    refuse(`nodes can not be asked again ${retries} times; give a whole number, 0 or more`);
  if (!(batchSleepMs >= 0)) refuse(`there can be no pause of ${batchSleepMs / 1000} s between groups; give 0 or more`);
  checkWait('replies', options.timeoutMs);
  // Of how many it is a share is known later, and whether it is one now.
  if (limit !== undefined) countOf(limit, 1, 'limit');
  if (canary) checkCanary(canary);
}
