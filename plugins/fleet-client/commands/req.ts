// `req`: invokes an action on many nodes and shows what they answer.

import { type ActionItem, findAction } from '../../wire/ddl.ts';
import { convertInput } from '../../wire/ddl-input.ts';
import type { CanaryVerdict } from '../canary.ts';
import { libdirsOf } from '../config.ts';
import { findDdl } from '../ddls.ts';
import { type NodeReply, RequestError, type RequestStatistics, type RpcOptions } from '../options.ts';
import { callRpc } from '../request.ts';
import { chooseSource } from '../source.ts';
import {
  type CommandContext,
  type CommandOptions,
  collectiveOf,
  discoveryOf,
  reportClocks,
  reportDuplicates,
  reportNobody,
  reportNotes,
} from './context.ts';
import type { Output } from './output.ts';
import { createProgress } from './progress.ts';
import { jsonLinesOutput, jsonOutput, sendersOutput } from './req-json.ts';
import { canaryText, tableOutput, textOutput } from './req-text.ts';
import { Sink } from './sink.ts';

const strictExitCode = 2;
const canaryExitCode = 3;

export async function req(context: CommandContext): Promise<number> {
  const { options } = context;
  if (!options.jsonl) return run(context);
  // Whoever reads lines is told of a failure in a line.
  try {
    return await run(context);
  } catch (error) {
    if (context.signal.aborted) throw error;
    await context.print(JSON.stringify({ k: 'error', err: (error as Error).message }));
    return 0;
  }
}

async function run(context: CommandContext): Promise<number> {
  const { host, client, options, signal } = context;
  const agent = String(context.arguments.agent);
  const ddl = await findDdl(host, agent, libdirsOf(client.config));
  const action = findAction(ddl, String(context.arguments.action));
  const data = convertInput(action, readInputs((context.arguments.inputs ?? []) as readonly string[]));
  const progress = createProgress(context, `${agent}#${action.action}`);
  const sink = new Sink(context, () => progress.clear());
  const output = outputOf(context, sink, agent, action);
  const discovery = await discoveryOf(context);
  output.begin?.(chooseSource(discovery, client.config).source);
  try {
    const { replies, statistics, canary, filterFailures } = await callRpc(client, {
      agent,
      action: action.action,
      data,
      agentTimeout: ddl.metadata.timeout,
      service: ddl.metadata.service ?? false,
      ...collectiveOf(options),
      discovery,
      ...requestOptionsOf(options),
      keepReplies: output.keepsReplies,
      signal,
      onDiscovered: (discovered, targets) => {
        void reportNotes(context, discovered);
        output.discovered?.(discovered, targets);
        progress.start(targets.length);
      },
      onReply: (reply, chosen, message) => {
        progress.advance();
        return chosen ? output.reply?.(reply, message) : undefined;
      },
    })
      .catch(async (error: unknown) => {
        if (error instanceof RequestError && error.code === 'NO_TARGETS') await reportNobody(context);
        throw error;
      })
      .finally(() => sink.flush().finally(() => progress.stop()));
    await reportDuplicates(context, statistics.duplicates);
    await reportClocks(context, statistics.clocks);
    if (filterFailures.count > 0)
      await context.tell(`warning: the reply filter failed for ${filterFailures.count} replies: ${filterFailures.reason}`);
    await output.end({ replies: options.sort ? sorted(replies) : replies, statistics, canary });
    await sink.flush();
    if (typeof options.outputFile === 'string') await context.tell(`written to ${options.outputFile}`);
    return await exitCodeOf(context, statistics, canary);
  } finally {
    await sink.end();
  }
}

function requestOptionsOf(options: CommandOptions): Partial<RpcOptions> {
  if (options.canarySuccess !== undefined && options.canary === undefined)
    throw new Error('--canary-success says how many of a canary have to succeed; give --canary as well');
  const { limit, limitSeed, canary, canarySuccess, batch, batchSleep, timeout, retries, replyTo, filterReplies } = options;
  return {
    ...(typeof limit === 'string' && { limit }),
    ...(typeof limitSeed === 'number' && { limitSeed }),
    ...(typeof canary === 'string' && {
      canary: { share: canary, ...(typeof canarySuccess === 'string' && { success: canarySuccess }) },
    }),
    ...(typeof batch === 'number' && { batchSize: batch }),
    ...(typeof batchSleep === 'number' && { batchSleepMs: batchSleep * 1000 }),
    ...(typeof timeout === 'number' && { timeoutMs: timeout * 1000 }),
    ...(typeof retries === 'number' && { retries }),
    ...(typeof replyTo === 'string' && { replyTo }),
    ...(typeof filterReplies === 'string' && { replyFilter: filterReplies }),
  };
}

function outputOf({ options, terminal }: CommandContext, sink: Sink, agent: string, action: ActionItem): Output {
  if (typeof options.replyTo === 'string')
    return { keepsReplies: false, end: async ({ statistics }) => sink.line(statistics.requestId) };
  if (options.jsonl) return jsonLinesOutput(sink, action);
  if (options.senders) return sendersOutput(sink, { json: options.json === true, sort: options.sort === true });
  if (options.json) return jsonOutput(sink, agent, action);
  if (options.table) return tableOutput(sink, action);
  return textOutput(sink, action, {
    verbose: options.verbose === true,
    color: terminal.color && options.outputFile === undefined,
    sort: options.sort === true,
    show: chooser((options.display as string | undefined) ?? action.display ?? 'failed'),
  });
}

async function exitCodeOf(
  { options, tell }: CommandContext,
  { responses, noResponses, failed, notAsked }: RequestStatistics,
  canary: CanaryVerdict | undefined,
): Promise<number> {
  if (canary && !canary.passed) {
    await tell(`${canaryText(canary)}; ${notAsked.length} nodes were not asked`);
    return canaryExitCode;
  }
  const complete = responses > 0 && noResponses.length + failed === 0;
  return options.strict && !complete && options.replyTo === undefined ? strictExitCode : 0;
}

/** `key=value` words; the value may have further equal signs. @throws Error for a word without one */
function readInputs(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf('=');
      if (at < 1) throw new Error(`could not parse input '${word}'; inputs are written as key=value`);
      return [word.slice(0, at), word.slice(at + 1)];
    }),
  );
}

/** Which replies are shown, by the flag or the action's own wish. */
function chooser(display: string): (reply: NodeReply) => boolean {
  switch (display) {
    case 'ok':
      return ({ statuscode }) => statuscode === 0;
    case 'all':
    case 'always':
      return () => true;
    case 'none':
      return () => false;
    default:
      return ({ statuscode }) => statuscode > 0;
  }
}

function sorted(replies: readonly NodeReply[]): NodeReply[] {
  return [...replies].sort((a, b) => (a.sender < b.sender ? -1 : 1));
}
