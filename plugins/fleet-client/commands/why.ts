// `why`: asks a node what it did with a request, since a node that has reason to is silent on the wire.

import { patientTtl } from '../clocks.ts';
import { callRpc } from '../request.ts';
import { type CommandContext, collectiveOf, reportClocks, toJson } from './context.ts';

const agentTimeout = 5;

interface Answer {
  readonly outcome: string;
  readonly reason: string;
  readonly history?: readonly { readonly time: number; readonly outcome: string; readonly reason: string }[];
}

export async function why(context: CommandContext): Promise<number> {
  const { client, options, signal } = context;
  const nodes = (options.wi ?? []) as readonly string[];
  if (nodes.length === 0) throw new Error('name a node with -I');
  const requestid = String(context.arguments.request);
  const { replies, statistics } = await callRpc(client, {
    agent: 'muster',
    action: 'why',
    data: { requestid },
    agentTimeout,
    // Asked of a node whose clock may be the reason.
    ttl: patientTtl,
    targets: nodes,
    ...collectiveOf(options),
    signal,
  });
  if (options.json) {
    await context.print(
      toJson(
        Object.fromEntries(
          replies.map(({ sender, data, statusmsg, statuscode }) => [
            sender,
            statuscode === 0 ? data : { outcome: 'unknown', reason: statusmsg },
          ]),
        ),
      ),
    );
  } else {
    for (const { sender, data, statuscode, statusmsg } of replies)
      await context.print(`${sender}:${statuscode === 0 ? spell(data as Answer) : ` ${statusmsg}`}`);
    for (const node of statistics.noResponses)
      await context.print(
        `${node}: it does not answer at all; it is not running, cut off, no member of the collective ${client.collective(collectiveOf(options).collective)} (ask in another with -T), or refuses this user's messages (its log says so)`,
      );
  }
  await reportClocks(context, statistics.clocks);
  return replies.length > 0 ? 0 : 1;
}

function spell({ outcome, reason, history = [] }: Answer): string {
  const lines = history.map((entry) => `  ${new Date(entry.time).toISOString()} ${entry.outcome}: ${entry.reason}`);
  return lines.length > 0 ? `\n${lines.join('\n')}` : ` ${outcome}: ${reason}`;
}
