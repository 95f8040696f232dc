// Questions of commands to all provisioners of a network, and their answers.

import { randomUUID } from 'node:crypto';
import type { Host } from '../../core/sdk/typescript/index.ts';
import { type Answer, type Question, questions } from './control.ts';
import { connection } from './node-rpc.ts';
import type { Status } from './status.ts';

/** Others may answer so much later than the first. */
const othersMs = 300;

/** @throws Error if nobody answers, or if one that answers could not do it */
export async function askProvisioners(host: Host, question: Question, timeoutMs: number, signal: AbortSignal): Promise<Status[]> {
  const inbox = `muster.provisioner.answer.${randomUUID().replaceAll('-', '')}`;
  const answers: Answer[] = [];
  let first: () => void = () => undefined;
  const answered = new Promise<void>((resolve) => {
    first = resolve;
  });
  await host.bus.subscribe({ connection, id: 'answers', subject: inbox }, ({ payload }) => {
    answers.push(JSON.parse(Buffer.from(payload).toString()) as Answer);
    first();
  });
  await host.bus.publish({ connection, subject: questions[question], reply: inbox, payload: Buffer.alloc(0) });
  await within(answered, timeoutMs, signal);
  if (answers.length > 0) await within(new Promise(() => undefined), othersMs, signal);
  await host.bus.unsubscribe('answers');
  const statuses = answers.flatMap((answer) => ('status' in answer ? [answer.status] : []));
  const [problem] = answers.flatMap((answer) => ('error' in answer ? [answer.error] : []));
  if (statuses.length > 0)
    return statuses.sort((a, b) => Number(b.leads) - Number(a.leads) || a.identity.localeCompare(b.identity));
  throw new Error(problem ?? `no provisioner answered within ${timeoutMs / 1000} s; is one running on these brokers?`);
}

async function within(event: Promise<void>, ms: number, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await Promise.race([event, late]);
  clearTimeout(timer);
  signal.throwIfAborted();
}
