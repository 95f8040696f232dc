// The show: the main job of a fleet, by the commands that anybody would type.

import { relative } from 'node:path';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import type { EnrollingPlan, OverlayPlan } from './prepare.ts';
import type { Processes } from './processes.ts';

interface Act {
  readonly title: string;
  readonly args: readonly string[];
  /** The exit code that means: as it should be. */
  readonly expected?: number;
}

/** With `--strict`, `req` exits with this if some node failed or was silent. */
const someFailed = 2;

/** @throws PluginError if a part of it does not turn out as it should */
export async function show(host: Host, processes: Processes, plan: OverlayPlan): Promise<void> {
  const names = plan.nodes.map(({ identity }) => identity);
  const silent = names.at(-1) ?? '';
  const everybody = names.flatMap((name) => ['-I', name]);
  const acts: readonly Act[] = [
    { title: 'Who is there, and how fast do they answer?', args: ['ping', '--expect', String(names.length)] },
    { title: 'One fact of every machine, with a summary', args: ['req', 'rpcutil', 'get_fact', 'fact=os.family', '--strict'] },
    { title: 'An agent in Python: the load, really measured', args: ['req', 'host', 'load', '--table', '--strict'] },
    { title: 'An agent in shell, on the web servers only', args: ['req', 'uptime', 'show', '-C', 'role::web', '--strict'] },
    {
      title: 'A request that the policy of the nodes denies',
      args: ['req', 'host', 'users', '-C', 'role::db', '--strict'],
      expected: someFailed,
    },
  ];
  for (const act of acts) await perform(host, processes, plan, act);
  await host.terminal.write(`A node that does not answer: ${silent} is paused for this one\n`);
  await processes.pause(silent);
  try {
    await perform(host, processes, plan, {
      title: '',
      args: ['req', 'rpcutil', 'ping', ...everybody, '--timeout', '2', '--strict'],
      expected: someFailed,
    });
  } finally {
    await processes.resume(silent);
  }
}

async function perform(
  host: Host,
  processes: Processes,
  { clientConfig }: OverlayPlan,
  { title, args, expected = 0 }: Act,
): Promise<void> {
  const bold = (await host.terminal.info()).color ? ['\x1b[1m', '\x1b[0m'] : ['', ''];
  await host.terminal.write(`${title === '' ? '' : `${title}\n`}${bold[0]}$ muster ${args.map(quote).join(' ')}${bold[1]}\n\n`);
  const exitCode = await processes.show([...args, '--config', clientConfig]);
  await host.terminal.write('\n');
  if (exitCode !== expected)
    throw new PluginError('UNAVAILABLE', `\`muster ${args.join(' ')}\` ended with ${exitCode} and not with ${expected}`);
}

/** What to try next; each line can be pasted into another terminal as it is. */
export function invitation({ clientConfig, provisionerConfig, bundles, nodes, folder }: EnrollingPlan, root: string): string {
  const muster = quote(`${root.replace(/\/\.build$/, '')}/core/cli/muster.mjs`);
  const config = `--config ${quote(clientConfig)}`;
  const [first] = nodes;
  return [
    'The overlay stays up until you press Ctrl-C. In a second terminal, try:',
    '',
    `  ${muster} ping ${config}`,
    `  ${muster} req host disks -C role::db ${config}`,
    `  ${muster} facts site ${config}`,
    `  ${muster} inventory ${first?.identity} ${config}`,
    `  ${muster} find -F 'cpus>4' ${config}`,
    `  ${muster} find --dm registry -v ${config}`,
    `  ${muster} provisioning status --config ${quote(provisionerConfig)}`,
    `  ${muster} plugin list --config ${quote(first?.configFile ?? '')}`,
    '',
    'Write an agent, drop it into the folder that every node watches, and call it a second later:',
    '',
    `  ${muster} plugin new agent greeter --lang python --into ${quote(bundles)}`,
    `  ${muster} req greeter hello name=Ada ${config}`,
    '',
    `Logs, audit logs and configuration are in ${relative(process.cwd(), folder) || '.'}/nodes.`,
  ].join('\n');
}

export function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
