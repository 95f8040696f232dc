// The replies as programs read them: one document, lines as they come, names (formats of `choria req`).

import { withOutputDefaults } from '../../wire/ddl.ts';
import { aggregate } from '../aggregate.ts';
import type { Discovered } from '../discovery.ts';
import type { NodeReply, RequestStatistics } from '../request.ts';
import { type CommandContext, toJson } from './context.ts';
import type { Outcome } from './req-text.ts';

const nanosecondsPerMs = 1e6;

/** All replies: which of them people are shown is no matter of programs. */
export function jsonDocument(outcome: Outcome): string {
  const { agent, action, replies, statistics } = outcome;
  return toJson({
    agent,
    action: action.action,
    replies: replies.map((reply) => ({
      ...replyJson(reply),
      data: reply.statuscode === 0 ? withOutputDefaults(action, reply.data) : reply.data,
    })),
    request_stats: statisticsJson(statistics),
    summaries: summariesJson(outcome),
  });
}

export function senders({ replies }: Outcome, json: boolean): string {
  const names = replies.filter(({ statuscode }) => statuscode === 0).map(({ sender }) => sender);
  return json ? toJson(names) : names.join('\n');
}

export interface JsonLineWriter {
  /** @param source that is going to be asked */
  discovering(source: string): void;
  discovered(discovered: Discovered, targets: readonly string[]): void;
  reply(reply: NodeReply): void;
  end(outcome: Outcome): Promise<void>;
}

export function jsonLineWriter({ print }: CommandContext): JsonLineWriter {
  const write = (value: object) => print(JSON.stringify(value));
  return {
    discovering: (source) => void write({ k: 'discovery', dm: shortName(source) }),
    discovered: ({ method, ms }, targets) =>
      void write({ k: 'discovery', count: targets.length, dt: ms / 1000, dm: shortName(method) }),
    reply: (reply) => void write({ k: 'result', rr: replyJson(reply) }),
    end: async (outcome) => {
      await write({ k: 'summaries', agg: summariesJson(outcome) });
      await write({ k: 'stats', stat: statisticsJson(outcome.statistics) });
    },
  };
}

/** The broadcast goes by its old name. */
function shortName(source: string): string {
  return source === 'broadcast' ? 'mc' : source;
}

function replyJson({ sender, action, statuscode, statusmsg, data, time }: NodeReply): Record<string, unknown> {
  return { sender, action, statuscode, statusmsg, data, time_utc: `${time.toISOString().slice(0, 19)}Z` };
}

function statisticsJson(statistics: RequestStatistics): Record<string, unknown> {
  const {
    requestId,
    noResponses,
    unexpectedResponses,
    discovered,
    failed,
    ok,
    responses,
    publishMs,
    requestMs,
    discoverMs,
    start,
  } = statistics;
  return {
    requestid: requestId,
    no_responses: noResponses,
    unexpected_responses: unexpectedResponses,
    discovered,
    failed,
    ok,
    responses,
    publish_time: Math.round(publishMs * nanosecondsPerMs),
    request_time: Math.round(requestMs * nanosecondsPerMs),
    discover_time: Math.round(discoverMs * nanosecondsPerMs),
    start_time_utc: start.toISOString(),
  };
}

/** Aggregates over the replies that succeeded, defaults filled in. */
function summariesJson({ action, replies }: Outcome): Record<string, unknown> {
  const good = replies
    .filter(({ statuscode }) => statuscode === 0)
    .map(({ data }) => ({ data: withOutputDefaults(action, data) }));
  return Object.fromEntries(aggregate(action, good).map(({ output, result }) => [output, result]));
}
