// `facts`: how the values of a fact are spread over the fleet.

import { printable } from '../../wire/printable.ts';
import { plainTable } from '../../wire/table.ts';
import { callRpc } from '../request.ts';
import { type CommandContext, collectiveOf, discoveryOf, reportDuplicates, reportNotes, toJson } from './context.ts';
import { createProgress } from './progress.ts';
import { spellMs } from './text.ts';

const agentTimeout = 2;

export async function facts(context: CommandContext): Promise<number> {
  const { client, options, signal } = context;
  const fact = String(context.arguments.fact);
  const progress = createProgress(context, 'rpcutil#get_fact');
  const values = new Map<string, string[]>();
  const { statistics } = await callRpc(client, {
    agent: 'rpcutil',
    action: 'get_fact',
    data: { fact },
    agentTimeout,
    ...collectiveOf(options),
    discovery: await discoveryOf(context),
    keepReplies: false,
    signal,
    onDiscovered: (found, targets) => {
      void reportNotes(context, found);
      progress.start(targets.length);
    },
    onReply: ({ sender, statuscode, data }) => {
      progress.advance();
      if (statuscode === 0) noteValue(values, sender, (data as { value?: unknown } | null)?.value);
    },
  }).finally(() => progress.stop());
  await reportDuplicates(context, statistics.duplicates);
  if (values.size === 0) throw new Error(`no node told the value of ${fact}`);
  const order = options.reverse ? -1 : 1;
  const rows = [...values]
    .map(([value, nodes]) => ({ value, nodes: nodes.sort() }))
    .sort((a, b) => order * (a.nodes.length - b.nodes.length));
  if (options.json) {
    await context.print(
      toJson(Object.fromEntries(rows.map(({ value, nodes }) => [value, { count: nodes.length, identities: nodes }]))),
    );
    return 0;
  }
  if (options.table) {
    await context.print(printable(table(rows, options.showNodes === true)));
    return 0;
  }
  await context.print(printable(report(fact, rows, options.showNodes === true)));
  await context.print(
    `\nFinished processing ${statistics.responses} / ${statistics.discovered} hosts in ${spellMs(statistics.requestMs + statistics.discoverMs)}`,
  );
  return 0;
}

function noteValue(values: Map<string, string[]>, sender: string, value: unknown = null): void {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const nodes = values.get(text);
  if (nodes) nodes.push(sender);
  else values.set(text, [sender]);
}

type Rows = readonly { readonly value: string; readonly nodes: readonly string[] }[];

function report(fact: string, rows: Rows, showNodes: boolean): string {
  const width = rows.reduce((widest, { value }) => Math.max(widest, value.length), 0);
  const lines = rows.flatMap(({ value, nodes }) => [
    `  ${value.padEnd(width)} found ${nodes.length} times`,
    ...(showNodes ? ['', ...nodes.map((node) => `    ${node}`), ''] : []),
  ]);
  return [`Report for fact: ${fact}`, '', ...lines].join('\n');
}

function table(rows: Rows, showNodes: boolean): string {
  const made = plainTable(['Fact', 'Matches', ...(showNodes ? ['Nodes'] : [])]);
  for (const { value, nodes } of rows) made.push([value, nodes.length, ...(showNodes ? [nodes.join('\n')] : [])]);
  return made.toString();
}
