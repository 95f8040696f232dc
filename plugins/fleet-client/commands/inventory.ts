// `inventory`: what one node is and has, or which collectives there are.

import { isEmptyFilter } from '../../wire/filter.ts';
import { callRpc } from '../request.ts';
import { type CommandContext, collectiveOf, discoveryOf, filterOf, toJson } from './context.ts';
import { inColumns, prettyJson } from './text.ts';

const agentTimeout = 2;

interface Inventory {
  readonly agents: readonly string[];
  readonly classes: readonly string[];
  readonly collectives: readonly string[];
  readonly data_plugins?: readonly string[];
  readonly facts: unknown;
  readonly machines?: readonly { readonly name: string; readonly state: string; readonly version: string }[];
  readonly main_collective: string;
  readonly version: string;
}

type Statistics = Readonly<Record<'configfile' | 'version', string>> &
  Readonly<Record<'pid' | 'starttime' | 'total' | 'passed' | 'filtered' | 'ttlexpired' | 'replies' | 'events', number>>;

export async function inventory(context: CommandContext): Promise<number> {
  if (context.options.collectives) return collectives(context);
  const identity = context.arguments.identity;
  if (typeof identity !== 'string') throw new Error('name a node, or ask for --collectives');
  if (!isEmptyFilter(filterOf(context.options)))
    throw new Error(`${identity} is one node whatever a filter says; leave the filter out, or ask for --collectives`);
  const found = await ask<Inventory>(context, identity, 'inventory');
  const statistics = await ask<Statistics>(context, identity, 'daemon_stats');
  if (context.options.json) {
    await context.print(toJson({ identity, inventory: found, statistics }));
    return 0;
  }
  await context.print(report(identity, found, statistics, context.options.facts !== false));
  return 0;
}

async function ask<T>({ client, signal, options }: CommandContext, identity: string, action: string): Promise<T> {
  const { replies } = await callRpc(client, {
    agent: 'rpcutil',
    action,
    data: {},
    agentTimeout,
    targets: [identity],
    ...collectiveOf(options),
    signal,
  });
  const [reply] = replies;
  if (!reply) throw new Error(`${identity} did not answer; is it running, and is its name right?`);
  if (reply.statuscode !== 0) throw new Error(`${identity}: ${reply.statusmsg}`);
  return reply.data as T;
}

async function collectives(context: CommandContext): Promise<number> {
  const { client, options, signal } = context;
  const counts = new Map<string, number>();
  await callRpc(client, {
    agent: 'rpcutil',
    action: 'collective_info',
    data: {},
    agentTimeout,
    ...collectiveOf(options),
    discovery: await discoveryOf(context),
    keepReplies: false,
    signal,
    onReply: ({ data }) => {
      for (const name of (data as Partial<Inventory> | null)?.collectives ?? []) counts.set(name, (counts.get(name) ?? 0) + 1);
    },
  });
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  if (options.json) await context.print(toJson(Object.fromEntries(sorted)));
  else {
    const width = sorted.reduce((widest, [name]) => Math.max(widest, name.length), 10);
    await context.print(
      [
        `${'  Collective'.padEnd(width + 4)}Nodes`,
        '',
        ...sorted.map(([name, count]) => `  ${name.padEnd(width + 2)}${count}`),
      ].join('\n'),
    );
  }
  return 0;
}

function report(identity: string, found: Inventory, statistics: Statistics, withFacts: boolean): string {
  const rows: readonly (readonly [string, unknown])[] = [
    ['Version', statistics.version],
    ['Start Time', `${new Date(statistics.starttime * 1000).toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`],
    ['Config File', statistics.configfile],
    ['Collectives', found.collectives.join(', ')],
    ['Main Collective', found.main_collective],
    ['Process ID', statistics.pid],
    ['Total Messages', statistics.total],
    ['Messages Passed Filters', statistics.passed],
    ['Messages Filtered', statistics.filtered],
    ['Expired Messages', statistics.ttlexpired],
    ['Replies Sent', statistics.replies],
    ['Events Published', statistics.events],
  ];
  const lines = [
    `Inventory for ${identity}`,
    '',
    '  Server Statistics:',
    '',
    ...rows.map(([name, value]) => `    ${name.padStart(23)}: ${value}`),
  ];
  lines.push('', '  Agents:', '', list(found.agents, 3), '', '  Tagged Classes:', '', list(found.classes, 2));
  if (found.data_plugins?.length) lines.push('', '  Data Plugins:', '', list(found.data_plugins, 3));
  if (found.machines?.length)
    lines.push(
      '',
      '  Machines:',
      '',
      ...found.machines.map(({ name, state, version }) => `    ${name} ${version} in state ${state}`),
    );
  if (withFacts) lines.push('', '  Facts:', '', `    ${prettyJson(found.facts, '    ')}`);
  return lines.join('\n');
}

function list(names: readonly string[], columns: number): string {
  return names.length === 0 ? '    none' : inColumns(names, columns);
}
