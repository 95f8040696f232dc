// `provisioning renew`: sends nodes of a fleet back into provisioning, a batch at a time.

import { discover } from '../discovery.ts';
import { type Renewal, Renewer } from '../renewal.ts';
import { Reprovisioning, readSecret } from '../reprovision.ts';
import {
  type CommandContext,
  type CommandOptions,
  collectiveOf,
  discoveryOf,
  reportDuplicates,
  reportNobody,
  reportNotes,
  toJson,
} from './context.ts';
import { createProgress } from './progress.ts';

const incompleteExitCode = 2;
const interruptedExitCode = 130;
const maxListed = 20;

export async function renew(context: CommandContext): Promise<number> {
  const { client, options, signal } = context;
  const secret = await secretOf(options);
  const found = await discover(client, {
    ...(await discoveryOf(context)),
    ...collectiveOf(options),
    agent: 'choria_provision',
    signal,
  });
  await reportNotes(context, found);
  await reportDuplicates(context, found.duplicates);
  const nodes = [...found.nodes].sort();
  if (nodes.length === 0) {
    await reportNobody(context);
    throw new Error('no node with the agent choria_provision fits; nodes have it that were provisioned and keep their token');
  }
  await confirm(context, `send ${counted(nodes.length)} back into provisioning`);
  const reprovisioning = new Reprovisioning(client, { secret, signal, ...collectiveOf(options) });
  return report(context, await runBatches(context, nodes, (away) => reprovisioning.back(away), reprovisioning), 'renewed');
}

/** @throws Error if there is no token to be had */
export async function secretOf({ tokenFile }: CommandOptions): Promise<string> {
  if (typeof tokenFile !== 'string')
    throw new Error('nodes want to be shown the secret of their token; name the file of the token with --token-file');
  return readSecret(tokenFile);
}

/** @throws Error if nobody is there who could say yes, or says no */
export async function confirm({ host, options, terminal }: CommandContext, what: string): Promise<void> {
  if (options.yes === true) return;
  if (!terminal.interactive) throw new Error(`nobody can be asked whether to ${what}; give --yes`);
  const answer = await host.terminal.prompt(`Really ${what}, ${String(options.batch)} at a time? (y/N) `);
  if (!/^y(es)?$/i.test(answer.trim())) throw new Error('nothing was done');
}

export async function runBatches(
  context: CommandContext,
  nodes: readonly string[],
  back: (away: readonly string[]) => Promise<readonly string[]>,
  reprovisioning: Reprovisioning,
): Promise<Renewal> {
  const { options, signal } = context;
  const progress = createProgress(context, 'choria_provision#reprovision');
  progress.start(nodes.length);
  try {
    return await new Renewer(nodes, {
      batch: wholeNumber(options.batch, '--batch', 1),
      sleepMs: wholeNumber(options.sleep, '--sleep', 0) * 1000,
      waitMs: wholeNumber(options.wait, '--wait', 1) * 1000,
      signal,
      send: (group) => reprovisioning.send(group),
      back,
      onDone: () => progress.advance(),
    }).run();
  } finally {
    await progress.stop();
  }
}

/** @returns the exit code: 0 if all are done, 2 if some are not */
export async function report(context: CommandContext, renewal: Renewal, done: string): Promise<number> {
  const { renewed, failed, missing, away, notAsked, stopped } = renewal;
  const { options, print, tell } = context;
  if (options.json) await print(toJson(renewal));
  else {
    await tell('');
    await print(`${counted(renewed.length)} ${done}`);
    for (const { identity, reason } of failed.slice(0, maxListed)) await print(`  ${identity} did not go: ${reason}`);
    await listed(context, missing, 'did not come back in time');
    await listed(context, away, 'are away still');
    if (notAsked.length > 0) await print(`  ${counted(notAsked.length)} not asked: ${why(stopped)}`);
  }
  if (stopped === 'interrupted') return interruptedExitCode;
  return failed.length + missing.length + notAsked.length === 0 ? 0 : incompleteExitCode;
}

async function listed({ print }: CommandContext, names: readonly string[], what: string): Promise<void> {
  if (names.length === 0) return;
  const more = names.length > maxListed ? ` and ${names.length - maxListed} others` : '';
  await print(`  ${names.slice(0, maxListed).join(', ')}${more} ${what}`);
}

function why(stopped: Renewal['stopped']): string {
  if (stopped === 'missing') return 'as many as a batch are missing already';
  if (stopped === 'refused') return 'all of the first batch refused';
  return 'it was stopped; start it again to go on';
}

function counted(count: number): string {
  return `${count} ${count === 1 ? 'node' : 'nodes'}`;
}

/** @throws Error that names the flag */
function wholeNumber(value: unknown, flag: string, least: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least) return value;
  throw new Error(`${flag} takes a whole number, ${least} or more`);
}
