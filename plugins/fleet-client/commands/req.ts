// `req`: invokes an action on many nodes and shows what they answer.

import { writeFileSync } from 'node:fs';
import { findAction } from '../../wire/ddl.ts';
import { convertInput } from '../../wire/ddl-input.ts';
import { libdirsOf } from '../config.ts';
import { findDdl } from '../ddls.ts';
import { callRpc, type NodeReply } from '../request.ts';
import { chooseSource } from '../source.ts';
import { type CommandContext, collectiveOf, discoveryOf, reportDuplicates, reportNotes } from './context.ts';
import { createProgress } from './progress.ts';
import { jsonDocument, jsonLineWriter, senders } from './req-json.ts';
import { type Outcome, tableDocument, textDocument } from './req-text.ts';

const strictExitCode = 2;

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
  const lines = options.jsonl ? jsonLineWriter(context) : undefined;
  const progress = createProgress(context, `${agent}#${action.action}`);
  const show = chooser((options.display as string | undefined) ?? action.display ?? 'failed');
  let targets: readonly string[] = [];
  const discovery = await discoveryOf(context);
  lines?.discovering(chooseSource(discovery, client.config).source);
  const { replies, statistics, filterFailures } = await callRpc(client, {
    agent,
    action: action.action,
    data,
    agentTimeout: ddl.metadata.timeout,
    service: ddl.metadata.service ?? false,
    ...collectiveOf(options),
    discovery,
    ...(typeof options.limit === 'string' && { limit: options.limit }),
    ...(typeof options.limitSeed === 'number' && { limitSeed: options.limitSeed }),
    ...(typeof options.batch === 'number' && { batchSize: options.batch }),
    ...(typeof options.batchSleep === 'number' && { batchSleepMs: options.batchSleep * 1000 }),
    ...(typeof options.timeout === 'number' && { timeoutMs: options.timeout * 1000 }),
    ...(typeof options.replyTo === 'string' && { replyTo: options.replyTo }),
    ...(typeof options.filterReplies === 'string' && { replyFilter: options.filterReplies }),
    signal,
    onDiscovered: (discovered, chosen) => {
      targets = chosen;
      void reportNotes(context, discovered);
      lines?.discovered(discovered, chosen);
      progress.start(chosen.length);
    },
    onReply: (reply, chosen) => {
      if (chosen) lines?.reply(reply);
      progress.advance();
    },
  }).finally(() => progress.stop());
  await reportDuplicates(context, statistics.duplicates);
  if (filterFailures.count > 0)
    await context.tell(`warning: the reply filter failed for ${filterFailures.count} replies: ${filterFailures.reason}`);
  const outcome: Outcome = { agent, action, replies: options.sort ? sorted(replies) : replies, statistics, show, targets };
  if (typeof options.replyTo === 'string') await context.print(statistics.requestId);
  else if (lines) await lines.end(outcome);
  else await output(context, render(context, outcome));
  const complete = statistics.noResponses.length === 0 && statistics.failed === 0;
  return options.strict && !complete ? strictExitCode : 0;
}

function render(context: CommandContext, outcome: Outcome): string {
  const { options, terminal } = context;
  if (options.senders) return senders(outcome, options.json === true);
  if (options.json) return jsonDocument(outcome);
  if (options.table) return tableDocument(outcome);
  return textDocument(outcome, { verbose: options.verbose === true, color: terminal.color && options.outputFile === undefined });
}

async function output({ options, print, tell }: CommandContext, text: string): Promise<void> {
  if (typeof options.outputFile !== 'string') {
    if (text !== '') await print(text);
    return;
  }
  writeFileSync(options.outputFile, `${text}\n`);
  await tell(`written to ${options.outputFile}`);
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
