// The replies as people read them: text as they come, or a table of all.

import type { ActionItem } from '../../wire/ddl.ts';
import { printable } from '../../wire/printable.ts';
import { statusLabels } from '../../wire/rpc.ts';
import { plainTable } from '../../wire/table.ts';
import { Aggregator } from '../aggregate.ts';
import type { CanaryVerdict } from '../canary.ts';
import type { NodeReply, RequestStatistics } from '../options.ts';
import type { Outcome, Output } from './output.ts';
import type { Sink } from './sink.ts';
import { inRows, prettyJson, spellFineMs, spellMs } from './text.ts';

export interface TextOptions {
  readonly verbose: boolean;
  readonly color: boolean;
  /** Whether the replies wait for the end, to be sorted. */
  readonly sort: boolean;
  /** Whether a reply is shown. */
  readonly show: (reply: NodeReply) => boolean;
}

const maxListed = 200;
const listColumns = 3;
const [red, reset] = ['\x1b[31m', '\x1b[0m'];

export function textOutput(sink: Sink, action: ActionItem, options: TextOptions): Output {
  const aggregator = new Aggregator(action);
  const write = (reply: NodeReply) =>
    options.show(reply) ? sink.line(replyText(reply, action, options.verbose, options.color)) : undefined;
  return {
    keepsReplies: options.sort,
    reply: (reply) => {
      aggregator.add(reply.data);
      return options.sort ? undefined : write(reply);
    },
    end: async ({ replies, statistics, canary }) => {
      for (const reply of replies) await write(reply);
      for (const { displayAs, lines } of aggregator.results()) {
        const text = lines.length === 0 ? ['No summary received'] : lines;
        await sink.line([`Summary of ${displayAs}:`, '', ...text.map((line) => `   ${printable(line)}`), ''].join('\n'));
      }
      await sink.line(footer(statistics, canary, options.verbose));
    },
  };
}

export function tableOutput(sink: Sink, action: ActionItem): Output {
  return {
    keepsReplies: true,
    end: async ({ replies }: Outcome) => {
      const names = Object.keys(action.output).sort();
      const table = plainTable(['Sender', ...names.map((name) => action.output[name]?.display_as ?? name)]);
      for (const { sender, data } of replies.filter(({ statuscode }) => statuscode === 0))
        table.push([sender, ...names.map((name) => oneLine((data as Record<string, unknown> | null)?.[name]))]);
      await sink.line(table.toString());
    },
  };
}

function replyText(
  { sender, statuscode, statusmsg, data }: NodeReply,
  action: ActionItem,
  verbose: boolean,
  color: boolean,
): string {
  const label = statusLabels[statuscode] ?? 'Unknown Request Status';
  const head = `${sender.padEnd(40)} ${color && label !== '' ? red + label + reset : label}\n`;
  const raw = verbose ? indent(printable(JSON.stringify(data ?? null, null, 3)), '   ') : '';
  if (statuscode !== 0) return `${head}\n    ${printable(statusmsg)}\n${verbose ? `\n${raw}` : ''}`;
  if (verbose) return `${head}\n${raw}`;
  const values = typeof data === 'object' && data !== null ? (data as Readonly<Record<string, unknown>>) : {};
  const named = [...new Set([...Object.keys(action.output), ...Object.keys(values)])]
    .sort()
    .map((key) => [action.output[key]?.display_as ?? key, values[key]] as const);
  const width = named.reduce((widest, [name]) => Math.max(widest, name.length), 0);
  const lines = named.map(([name, value]) => `   ${printable(name).padStart(width)}: ${manyLines(value, ' '.repeat(width + 5))}`);
  return `${head}\n${lines.join('\n')}\n`;
}

function footer(statistics: RequestStatistics, canary: CanaryVerdict | undefined, verbose: boolean): string {
  const { responses, discovered, noResponses, unexpectedResponses, notAsked, requestMs, discoverMs, requestId } = statistics;
  const lines = verbose
    ? ['', '---- request stats ----', ...statisticsRows(statistics).map(([name, value]) => `${name.padStart(20)}: ${value}`)]
    : ['', `Finished processing ${responses} / ${discovered} hosts in ${spellMs(requestMs + discoverMs)}`];
  if (canary) lines.push('', canaryText(canary));
  const list = (title: string, names: readonly string[]) => {
    if (names.length > 0) lines.push('', `${title}: ${names.length}`, '', listed(names, verbose));
  };
  list('No Responses from', noResponses);
  if (noResponses.length > 0) lines.push('', `To learn why, run: muster why ${requestId} -I NODE`);
  list('Unexpected Responses from', unexpectedResponses);
  list('Not asked', notAsked);
  return lines.join('\n');
}

export function canaryText({ asked, ok, needed, passed }: CanaryVerdict): string {
  return `Canary ${passed ? 'passed' : 'failed'}: ${ok} of ${asked} nodes succeeded, ${needed} had to`;
}

function statisticsRows(statistics: RequestStatistics): [string, string | number][] {
  const { responses, discovered, ok, failed, noResponses, unexpectedResponses, askedAgain, notAsked } = statistics;
  const { requestMs, discoverMs, publishMs, start, requestId } = statistics;
  return [
    ['Request', requestId],
    ['Nodes', `${responses} / ${discovered}`],
    ['Pass / Fail', `${ok} / ${failed}`],
    ['No Responses', noResponses.length],
    ['Unexpected Responses', unexpectedResponses.length],
    ...(askedAgain > 0 ? ([['Asked Again', askedAgain]] as [string, number][]) : []),
    ...(notAsked.length > 0 ? ([['Not Asked', notAsked.length]] as [string, number][]) : []),
    ['Start Time', `${start.toISOString().slice(0, 19)}+0000`],
    ['Discovery Time', spellFineMs(discoverMs)],
    ['Publish Time', spellFineMs(publishMs)],
    ['Agent Time', spellFineMs(requestMs - publishMs)],
    ['Total Time', spellFineMs(requestMs + discoverMs)],
  ];
}

function listed(names: readonly string[], all: boolean): string {
  const shown = all ? names : names.slice(0, maxListed);
  const more = shown.length < names.length ? `\n    … and ${names.length - shown.length} more` : '';
  return inRows(shown, listColumns) + more;
}

function manyLines(value: unknown, margin: string): string {
  if (value === undefined || value === null) return '';
  return printable(typeof value === 'object' ? prettyJson(value, margin) : String(value));
}

function oneLine(value: unknown): string {
  if (value === undefined || value === null) return '';
  return printable(typeof value === 'object' ? JSON.stringify(value) : String(value));
}

function indent(text: string, margin: string): string {
  return text.replace(/^/gm, margin);
}
