// How provisioners are doing, for people.

import { plainTable } from '../wire/table.ts';
import type { Status } from './status.ts';

/** In the order in which a node passes them. */
const inWork = ['seen', 'token', 'csr', 'signed', 'configured', 'up', 'done'];
const putOff = ['deferred', 'failed', 'refused', 'absent'];
const maxReason = 110;

export function statusText(statuses: readonly Status[]): string {
  const leader = statuses.find(({ leads }) => leads);
  const lines = [...statuses.map(instanceLine), ...(leader ? ['', ...leaderLines(leader)] : ['', 'Nobody leads at the moment.'])];
  return `${lines.join('\n')}\n`;
}

function instanceLine({ identity, instance, leads, paused, problem, epoch, hook, workers, busy, store }: Status): string {
  const what = leads
    ? `leads${paused ? ', paused' : ''}: epoch ${epoch}, hook ${hook}, ${busy} of ${workers} workers busy, work kept in a ${store ?? 'place to come'}`
    : 'stands by';
  return `${identity} (${instance.slice(0, 8)}) ${problem === undefined ? what : `is in trouble: ${problem}`}`;
}

function leaderLines({ nodes, counters, perMinute, waiting, errors, namesakes, dropped, ...status }: Status): string[] {
  const count = (names: readonly string[]) =>
    names
      .filter((name) => (nodes[name] ?? 0) > 0)
      .map((name) => `${name} ${nodes[name]}`)
      .join(', ') || 'none';
  return [
    `enrolled   ${counters.provisioned}, ${perMinute} of them in the last minute`,
    `in work    ${count(inWork)}`,
    `put off    ${count(putOff)}`,
    `waiting    ${waiting}${dropped > 0 ? `, ${dropped} had no room` : ''}`,
    ...(namesakes.length > 0 ? [`twice      more than one machine answers to ${namesakes.join(', ')}`] : []),
    ...(status.putOff.length > 0 ? ['', putOffTable(status)] : []),
    ...(errors.length > 0
      ? ['', 'Last errors', ...errors.slice(-5).map(({ at, identity, reason }) => `  ${at}  ${identity}  ${cut(reason)}`)]
      : []),
  ];
}

function putOffTable({ putOff: list }: Pick<Status, 'putOff'>): string {
  const table = plainTable(['node', 'is', 'attempts', 'tried again', 'reason']);
  for (const { identity, verdict, attempts, next, reason } of list)
    table.push([identity, verdict, String(attempts), next === null ? 'when it shows itself' : inSeconds(next), cut(reason)]);
  return table.toString();
}

function inSeconds(time: string): string {
  return `in ${Math.max(0, Math.ceil((Date.parse(time) - Date.now()) / 1000))} s`;
}

function cut(text: string): string {
  return text.length > maxReason ? `${text.slice(0, maxReason - 1)}…` : text;
}
