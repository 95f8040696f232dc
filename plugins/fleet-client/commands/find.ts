// `find`: the names of the nodes that a filter fits.

import { discover } from '../discovery.ts';
import { type CommandContext, collectiveOf, discoveryOf, reportDuplicates, toJson } from './context.ts';
import { spellMs } from './text.ts';

export async function find(context: CommandContext): Promise<number> {
  const { client, options, signal } = context;
  const found = await discover(client, { ...discoveryOf(options), ...collectiveOf(options), agent: 'rpcutil', signal });
  await reportDuplicates(context, found.duplicates);
  const nodes = [...found.nodes].sort();
  if (options.json) await context.print(toJson(nodes));
  else if (nodes.length > 0) await context.print(nodes.join('\n'));
  if (options.verbose)
    await context.tell(`\nDiscovered ${nodes.length} nodes using the ${found.method} method in ${spellMs(found.ms)}`);
  return 0;
}
