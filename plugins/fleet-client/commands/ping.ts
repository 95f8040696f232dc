// `ping`: who answers, and how fast.

import { drawChart } from '../chart.ts';
import { Clocks, patientTtl } from '../clocks.ts';
import { type CommandContext, collectiveOf, filterOf, reportClocks, reportDuplicates, reportNobody, toJson } from './context.ts';
import { Sink } from './sink.ts';
import { spellMs } from './text.ts';

const bucketMs = 50;
/** Where the graph begins, beside its labels, and how wide it is. */
const [graphMargin, graphWidth] = [8, 60];
const graphCaption = 'Responses per 50ms';

export async function ping(context: CommandContext): Promise<number> {
  const { client, options, signal } = context;
  const quiet = options.silent === true || options.json === true;
  const sink = new Sink(context);
  const clocks = new Clocks();
  const { answers, duplicates, overheadMs } = await client.ping({
    filter: filterOf(options),
    ...collectiveOf(options),
    ...(typeof options.timeout === 'number' && { timeoutMs: options.timeout * 1000 }),
    ...(typeof options.expect === 'number' && { expect: options.expect }),
    windowed: false,
    // A node with another clock is there; requests to it are what its clock prevents.
    ttl: patientTtl,
    signal,
    onAnswer: (sender, ms, time) => {
      clocks.note(sender, time, Date.now());
      if (options.names) return sink.line(sender);
      return quiet ? undefined : sink.line(`${sender.padEnd(40)} time=${Math.round(ms)} ms`);
    },
  });
  await sink.end();
  await reportDuplicates(context, duplicates);
  await reportClocks(context, clocks.warnings(client.config.ttl));
  if (options.names) return 0;
  const times = answers.map(({ ms }) => ms);
  const statistics = {
    replies: times.length,
    max_ms: round(times.reduce((most, ms) => Math.max(most, ms), 0)),
    min_ms: round(times.reduce((least, ms) => Math.min(least, ms), times[0] ?? 0)),
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
    await reportNobody(context);
    return 1;
  }
  const { replies, max_ms, min_ms, avg_ms, overhead_ms } = statistics;
  await context.print(
    `\n\n---- ping statistics ----\n${replies} replies max: ${spellMs(max_ms)} min: ${spellMs(min_ms)} avg: ${spellMs(avg_ms)} overhead: ${spellMs(overhead_ms)}`,
  );
  if (options.graph) await context.print(`\n${graph(times)}\n`);
  return 0;
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}

/** Answers in each 50 ms as a line, the caption in the middle below it. */
function graph(times: readonly number[]): string {
  const buckets: number[] = [];
  for (const ms of times) {
    const bucket = Math.floor(ms / bucketMs);
    while (buckets.length <= bucket) buckets.push(0);
    buckets[bucket] = (buckets[bucket] ?? 0) + 1;
  }
  return `${drawChart(buckets)}\n${' '.repeat(graphMargin + (graphWidth - graphCaption.length) / 2 + 1)}${graphCaption}`;
}
