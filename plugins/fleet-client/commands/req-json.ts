// The replies as programs read them: one document, lines as they come, names (formats of `choria req`).

import { type ActionItem, withOutputDefaults } from '../../wire/ddl.ts';
import { statusCodes } from '../../wire/rpc.ts';
import { Aggregator } from '../aggregate.ts';
import type { CanaryVerdict } from '../canary.ts';
import type { Received } from '../collector.ts';
import type { NodeReply, RequestStatistics } from '../options.ts';
import { toJson } from './context.ts';
import type { Output } from './output.ts';
import type { Sink } from './sink.ts';

const nanosecondsPerMs = 1e6;

/** All replies: which of them people are shown is no matter of programs. */
export function jsonOutput(sink: Sink, agent: string, action: ActionItem): Output {
  const summaries = summarizer(action);
  return {
    keepsReplies: true,
    reply: (reply) => summaries.add(reply),
    end: async ({ replies, statistics, canary }) => {
      await sink.line(
        toJson({
          agent,
          action: action.action,
          replies: replies.map((reply) => ({
            sender: reply.sender,
            ...replyJson(reply),
            data: reply.statuscode === statusCodes.ok ? withOutputDefaults(action, reply.data) : reply.data,
            time_utc: timeOf(reply),
          })),
          request_stats: statisticsJson(statistics, canary),
          summaries: summaries.json(),
          ...(canary && { canary }),
        }),
      );
    },
  };
}

/** Names of those that succeeded: as they come, sorted, or as an array. */
export function sendersOutput(sink: Sink, { json, sort }: { json: boolean; sort: boolean }): Output {
  if (!json && !sort)
    return {
      keepsReplies: false,
      reply: ({ statuscode, sender }) => (statuscode === statusCodes.ok ? sink.line(sender) : undefined),
      end: () => Promise.resolve(),
    };
  return {
    keepsReplies: true,
    end: async ({ replies }) => {
      const names = replies.filter(({ statuscode }) => statuscode === statusCodes.ok).map(({ sender }) => sender);
      if (json) await sink.line(toJson(names));
      else for (const name of names) await sink.line(name);
    },
  };
}

/** The broadcast goes by its old name. */
function shortName(source: string): string {
  return source === 'broadcast' ? 'mc' : source;
}

/** An object a line; nothing of the replies is kept. */
export function jsonLinesOutput(sink: Sink, action: ActionItem): Output {
  const summaries = summarizer(action);
  const line = (value: object) => sink.line(JSON.stringify(value));
  return {
    keepsReplies: false,
    begin: (source) => void line({ k: 'discovery', dm: shortName(source) }),
    discovered: ({ method, ms }, targets) =>
      void line({ k: 'discovery', count: targets.length, dt: ms / 1000, dm: shortName(method) }),
    reply: (reply, message) => {
      summaries.add(reply);
      const { sender } = reply;
      return line({ k: 'result', pr: messageJson(message), rr: { ...replyJson(reply), sender, time_utc: timeOf(reply) } });
    },
    end: async ({ statistics, canary }) => {
      if (canary) await line({ k: 'canary', canary });
      await line({ k: 'summaries', agg: summaries.json() });
      await line({ k: 'stats', stat: statisticsJson(statistics, canary) });
    },
  };
}

function replyJson({ action, statuscode, statusmsg, data }: NodeReply): Record<string, unknown> {
  return { action, statuscode, statusmsg, data };
}

function timeOf({ time }: NodeReply): string {
  return `${time.toISOString().slice(0, 19)}Z`;
}

/** The message as it came, in the form of protocol v1. */
function messageJson({ id, sender, agent, time, body }: Received): Record<string, unknown> {
  return { protocol: 'choria:reply:1', message: body, envelope: { requestid: id, senderid: sender, agent, time } };
}

function statisticsJson(statistics: RequestStatistics, canary: CanaryVerdict | undefined): Record<string, unknown> {
  const { requestId, noResponses, unexpectedResponses, notAsked, discovered, failed, ok, responses } = statistics;
  const { publishMs, requestMs, discoverMs, start } = statistics;
  return {
    requestid: requestId,
    no_responses: noResponses,
    unexpected_responses: unexpectedResponses,
    ...(canary && { not_asked: notAsked }),
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
function summarizer(action: ActionItem): { add: (reply: NodeReply) => undefined; json: () => Record<string, unknown> } {
  const aggregator = new Aggregator(action);
  return {
    add: ({ statuscode, data }) => {
      if (statuscode === statusCodes.ok) aggregator.add(withOutputDefaults(action, data));
      return undefined;
    },
    json: () => Object.fromEntries(aggregator.results().map(({ output, result }) => [output, result])),
  };
}
