// `provisioning drain` and `undrain`: whether an overlay takes nodes. Draining renews its nodes, which then get another one.

import { Placements } from '../placements.ts';
import { Reprovisioning } from '../reprovision.ts';
import { type CommandContext, collectiveOf, toJson } from './context.ts';
import { confirm, report, runBatches, secretOf } from './renew.ts';

export async function drain(context: CommandContext): Promise<number> {
  const { client, host, options, signal, tell } = context;
  const overlay = String(context.arguments.overlay);
  const markOnly = options.markOnly === true;
  const secret = markOnly ? '' : await secretOf(options);
  const placements = await Placements.open(host);
  try {
    const nodes = placements.nodesOf(overlay);
    checkKnown(placements, overlay);
    if (!markOnly) await confirm(context, `drain the overlay ${overlay} of ${nodes.length} nodes`);
    await placements.mark(overlay, true, await callerOf(context));
    if (markOnly) return await marked(context, overlay, true, nodes.length);
    if (!options.json) await tell(`${overlay} takes no more nodes; ${nodes.length} are on it`);
    const reprovisioning = new Reprovisioning(client, { secret, signal, ...collectiveOf(options) });
    // They come up where this client may not see them, so what counts is that they were given another place.
    const moved = (away: readonly string[]) => {
      const { places } = placements;
      return Promise.resolve(away.filter((identity) => places.get(identity) !== overlay));
    };
    return await report(context, await runBatches(context, nodes, moved, reprovisioning), 'moved');
  } finally {
    await placements.close();
  }
}

export async function undrain(context: CommandContext): Promise<number> {
  const overlay = String(context.arguments.overlay);
  const placements = await Placements.open(context.host);
  try {
    checkKnown(placements, overlay);
    await placements.mark(overlay, false, await callerOf(context));
    return await marked(context, overlay, false, placements.nodesOf(overlay).length);
  } finally {
    await placements.close();
  }
}

/** @throws Error for a name that is probably misspelt */
function checkKnown(placements: Placements, overlay: string): void {
  const known = placements.overlays;
  if (known.includes(overlay)) return;
  throw new Error(
    known.length === 0
      ? 'no provisioner has placed a node yet'
      : `no node was placed on an overlay ${overlay}; there are ${known.join(', ')}`,
  );
}

async function marked({ options, print }: CommandContext, overlay: string, draining: boolean, nodes: number): Promise<number> {
  if (options.json) await print(toJson({ overlay, draining, nodes }));
  else await print(`${overlay} ${draining ? 'takes no more nodes' : 'takes nodes again'}; ${nodes} are on it`);
  return 0;
}

async function callerOf({ host }: CommandContext): Promise<string> {
  const { callerid } = (await host.plugins.call('security', 'x509', 'security/identity', { role: 'client' })) as {
    callerid: string;
  };
  return callerid;
}
