// The show: the main job of a fleet, by the commands that anybody would type.

import { relative } from 'node:path';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import type { AaaUser } from './aaa.ts';
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
export async function show(host: Host, processes: Processes, plan: EnrollingPlan): Promise<void> {
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
      args: ['req', 'rpcutil', 'ping', ...everybody, '--timeout', '4', '--strict'],
      expected: someFailed,
    });
  } finally {
    await processes.resume(silent);
  }
  await showAaa(host, processes, plan);
}

/** Somebody who may not do everything logs in, is allowed one thing and denied another, and both are on record. */
async function showAaa(host: Host, processes: Processes, plan: EnrollingPlan): Promise<void> {
  const { onCall, chain, chainKey } = plan.aaa;
  const rollout = ['req', 'webstack', 'rollout', 'version=2.1', '--target', 'production'];
  await login(host, processes, onCall);
  const asked = (title: string, args: readonly string[], expected = 0) =>
    perform(host, processes, { clientConfig: onCall.config }, { title, args, expected });
  await asked('Production changes a country at a time, as the policy in his token has it', [
    ...rollout,
    '-F',
    'country=mt',
    '--strict',
  ]);
  await asked('Without a country, the signer refuses, and says what it misses', rollout, 1);
  await asked('Both are on record, and nobody has changed the record since', ['audit', 'verify', chain, '--key', chainKey]);
  await asked('', ['audit', 'search', '--user', `up=${onCall.name}`, '--agent', 'webstack', chain]);
}

async function login(host: Host, processes: Processes, { name, config, passwordFile }: AaaUser): Promise<void> {
  const args = ['login', '--user', name, '--config', config];
  await host.terminal.write(`Somebody on call logs in, and gets a token that carries a policy\n`);
  await host.terminal.write(`${await shown(host, args)} < ${quote(passwordFile)}\n\n`);
  const exitCode = await processes.showWithInput(args, passwordFile);
  await host.terminal.write('\n');
  if (exitCode !== 0) throw new PluginError('UNAVAILABLE', `${name} could not log in (exit ${exitCode})`);
}

/** A command as it is typed. */
async function shown(host: Host, args: readonly string[]): Promise<string> {
  const bold = (await host.terminal.info()).color ? ['\x1b[1m', '\x1b[0m'] : ['', ''];
  return `${bold[0]}$ muster ${args.map(quote).join(' ')}${bold[1]}`;
}

async function perform(
  host: Host,
  processes: Processes,
  { clientConfig }: Pick<OverlayPlan, 'clientConfig'>,
  { title, args, expected = 0 }: Act,
): Promise<void> {
  await host.terminal.write(`${title === '' ? '' : `${title}\n`}${await shown(host, args)}\n\n`);
  const exitCode = await processes.show([...args, '--config', clientConfig]);
  await host.terminal.write('\n');
  if (exitCode !== expected)
    throw new PluginError('UNAVAILABLE', `\`muster ${args.join(' ')}\` ended with ${exitCode} and not with ${expected}`);
}

/** What to try next; each line can be pasted into another terminal as it is. */
export function invitation(
  { clientConfig, provisionerConfig, bundles, nodes, folder, aaa }: EnrollingPlan,
  root: string,
): string {
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
    'Two users may log in; what they ask for is signed by the AAA service, if it allows that:',
    '',
    `  ${muster} login --user ${aaa.operator.name} --config ${quote(aaa.operator.config)} < ${quote(aaa.operator.passwordFile)}`,
    `  ${muster} req webstack status --config ${quote(aaa.operator.config)}`,
    `  ${muster} audit search --user up=${aaa.operator.name} ${quote(aaa.chain)}`,
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
