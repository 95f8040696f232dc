// `find`: the names of the nodes that a filter fits, and what is known of them.

import { plainTable } from '../../wire/table.ts';
import { discover, type KnownNode } from '../discovery.ts';
import {
  type CommandContext,
  collectiveOf,
  discoveryOf,
  reportDuplicates,
  reportNobody,
  reportNotes,
  toJson,
} from './context.ts';
import { spellMs } from './text.ts';

export async function find(context: CommandContext): Promise<number> {
  const { client, options, signal } = context;
  const asked = { ...(await discoveryOf(context)), ...collectiveOf(options), agent: 'rpcutil', signal };
  const found = await discover(client, asked);
  await reportDuplicates(context, found.duplicates);
  await reportNotes(context, found);
  const nodes = [...found.nodes].sort();
  if (nodes.length === 0) await reportNobody(context);
  const known = options.verbose ? found.known : undefined;
  if (options.json) await context.print(toJson(known ? inOrder(known).map(describe) : nodes));
  else if (known) await context.print(table(inOrder(known)));
  else if (nodes.length > 0) await context.print(nodes.join('\n'));
  if (options.verbose)
    await context.tell(`\nDiscovered ${nodes.length} nodes using the ${found.method} method in ${spellMs(found.ms)}`);
  return 0;
}

function inOrder(known: readonly KnownNode[]): KnownNode[] {
  return [...known].sort((a, b) => (a.identity < b.identity ? -1 : 1));
}

function describe({ identity, state, seen }: KnownNode) {
  return { identity, state, ...(seen !== undefined && { seen: new Date(seen * 1000).toISOString() }) };
}

function table(known: readonly KnownNode[]): string {
  const rows = plainTable(['Node', 'State', 'Last heard of']);
  for (const { identity, state = '', seen } of known) rows.push([identity, state, seen === undefined ? '' : ago(seen)]);
  return rows.toString();
}

function ago(seen: number): string {
  const seconds = Math.max(0, Math.round(Date.now() / 1000 - seen));
  return `${spellMs(seconds * 1000)} ago`;
}
