// `ping`: who answers, and how fast.

import { type CommandContext, collectiveOf, filterOf, reportDuplicates, toJson } from './context.ts';

const bucketMs = 50;
const graphHeight = 15;

export async function ping(context: CommandContext): Promise<number> {
  const { client, options, signal } = context;
  const quiet = options.silent === true || options.json === true;
  const { answers, duplicates, overheadMs } = await client.ping({
    filter: filterOf(options),
    ...collectiveOf(options),
    ...(typeof options.timeout === 'number' && { timeoutMs: options.timeout * 1000 }),
    ...(typeof options.expect === 'number' && { expect: options.expect }),
    windowed: false,
    signal,
    onAnswer: (sender, ms) => {
      if (options.names) void context.print(sender);
      else if (!quiet) void context.print(`${sender.padEnd(40)} time=${Math.round(ms)} ms`);
    },
  });
  await reportDuplicates(context, duplicates);
  if (options.names) return 0;
  const times = answers.map(({ ms }) => ms);
  const statistics = {
    replies: times.length,
    max_ms: round(Math.max(0, ...times)),
    min_ms: round(times.length === 0 ? 0 : Math.min(...times)),
    avg_ms: round(times.reduce((sum, ms) => sum + ms, 0) / Math.max(1, times.length)),
    overhead_ms: round(overheadMs),
  };
  if (options.json) {
    await context.print(
      toJson({ nodes: answers.map(({ sender, ms }) => ({ sender, time_ms: round(ms) })), duplicates, statistics }),
    );
    return answers.length > 0 ? 0 : 1;
  }
  if (answers.length === 0) {
    await context.tell('no node answered');
    return 1;
  }
  if (options.graph) await context.print(`\n${graph(times)}`);
  await context.print('\n\n---- ping statistics ----');
  const { replies, max_ms, min_ms, avg_ms, overhead_ms } = statistics;
  await context.print(
    `${replies} replies max: ${max_ms.toFixed(2)}ms min: ${min_ms.toFixed(2)}ms avg: ${avg_ms.toFixed(2)}ms overhead: ${overhead_ms.toFixed(2)}ms`,
  );
  return 0;
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}

/** Answers in each 50 ms, as bars. */
function graph(times: readonly number[]): string {
  const buckets = new Array<number>(Math.floor(Math.max(...times) / bucketMs) + 1).fill(0);
  for (const ms of times) {
    const bucket = Math.floor(ms / bucketMs);
    buckets[bucket] = (buckets[bucket] ?? 0) + 1;
  }
  const most = Math.max(...buckets);
  return buckets
    .map(
      (count, index) =>
        `${String(index * bucketMs).padStart(6)} ms ${'█'.repeat(Math.ceil((count / most) * graphHeight * 3))} ${count}`,
    )
    .join('\n');
}
