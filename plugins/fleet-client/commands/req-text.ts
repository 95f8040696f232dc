// The replies as people read them: text and table.

import type { ActionItem } from '../../wire/ddl.ts';
import { statusLabels } from '../../wire/rpc.ts';
import { plainTable } from '../../wire/table.ts';
import { aggregate } from '../aggregate.ts';
import type { NodeReply, RequestStatistics } from '../options.ts';
import { spellMs } from './context.ts';

export interface Outcome {
  readonly agent: string;
  readonly action: ActionItem;
  readonly replies: readonly NodeReply[];
  readonly statistics: RequestStatistics;
  /** Whether a reply is shown. */
  readonly show: (reply: NodeReply) => boolean;
  readonly targets: readonly string[];
}

const maxListed = 200;
const listColumns = 3;
const [red, reset] = ['\x1b[31m', '\x1b[0m'];

export function textDocument(outcome: Outcome, { verbose, color }: { verbose: boolean; color: boolean }): string {
  const { action, replies, statistics, show } = outcome;
  const parts = replies.filter(show).map((reply) => replyText(reply, action, verbose, color));
  for (const { displayAs, lines } of aggregate(action, replies)) {
    const text = lines.length === 0 ? ['No summary received'] : lines;
    parts.push([`Summary of ${displayAs}:`, '', ...text.map((line) => `   ${line}`), ''].join('\n'));
  }
  parts.push('', footer(statistics, verbose));
  return parts.join('\n');
}

export function tableDocument({ action, replies }: Outcome): string {
  const names = Object.keys(action.output).sort();
  const table = plainTable(['Sender', ...names.map((name) => action.output[name]?.display_as ?? name)]);
  for (const { sender, data } of replies.filter(({ statuscode }) => statuscode === 0)) {
    table.push([sender, ...names.map((name) => oneLine((data as Record<string, unknown> | null)?.[name]))]);
  }
  return table.toString();
}

function replyText(
  { sender, statuscode, statusmsg, data }: NodeReply,
  action: ActionItem,
  verbose: boolean,
  color: boolean,
): string {
  const label = statusLabels[statuscode] ?? 'Unknown Request Status';
  const head = `${sender.padEnd(40)} ${color && label !== '' ? red + label + reset : label}\n`;
  if (statuscode !== 0) return `${head}\n    ${statusmsg}\n`;
  if (verbose) return `${head}\n${indent(JSON.stringify(data, null, 2), '    ')}\n`;
  const values = typeof data === 'object' && data !== null ? (data as Readonly<Record<string, unknown>>) : {};
  const named = [...new Set([...Object.keys(action.output), ...Object.keys(values)])]
    .sort()
    .map((key) => [action.output[key]?.display_as ?? key, values[key]] as const);
  const width = Math.max(0, ...named.map(([name]) => name.length));
  const lines = named.map(([name, value]) => `   ${name.padStart(width)}: ${manyLines(value, ' '.repeat(width + 5))}`);
  return `${head}\n${lines.join('\n')}\n`;
}

function footer(statistics: RequestStatistics, verbose: boolean): string {
  const {
    responses,
    discovered,
    ok,
    failed,
    noResponses,
    unexpectedResponses,
    requestMs,
    discoverMs,
    publishMs,
    start,
    requestId,
  } = statistics;
  const lines: string[] = [];
  if (verbose) {
    lines.push(
      '---- request stats ----',
      `               Request: ${requestId}`,
      `                 Nodes: ${responses} / ${discovered}`,
      `           Pass / Fail: ${ok} / ${failed}`,
      `          No Responses: ${noResponses.length}`,
      `  Unexpected Responses: ${unexpectedResponses.length}`,
      `            Start Time: ${start.toISOString()}`,
      `        Discovery Time: ${spellMs(discoverMs)}`,
      `          Publish Time: ${spellMs(publishMs)}`,
      `            Agent Time: ${spellMs(requestMs - publishMs)}`,
      `            Total Time: ${spellMs(requestMs + discoverMs)}`,
    );
  } else lines.push(`Finished processing ${responses} / ${discovered} hosts in ${spellMs(requestMs + discoverMs)}`);
  if (noResponses.length > 0)
    lines.push(
      '',
      `No Responses from: ${noResponses.length}`,
      '',
      columns(noResponses, verbose),
      '',
      `To learn why, run: muster why ${requestId} -I NODE`,
    );
  if (unexpectedResponses.length > 0)
    lines.push('', `Unexpected Responses from: ${unexpectedResponses.length}`, '', columns(unexpectedResponses, verbose));
  return lines.join('\n');
}

function columns(names: readonly string[], all: boolean): string {
  const shown = all ? names : names.slice(0, maxListed);
  const width = Math.max(...shown.map((name) => name.length)) + 2;
  const lines: string[] = [];
  for (let first = 0; first < shown.length; first += listColumns) {
    lines.push(
      `    ${shown
        .slice(first, first + listColumns)
        .map((name) => name.padEnd(width))
        .join('')
        .trimEnd()}`,
    );
  }
  if (shown.length < names.length) lines.push(`    … and ${names.length - shown.length} more`);
  return lines.join('\n');
}

function manyLines(value: unknown, margin: string): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'object') return String(value);
  if (Array.isArray(value) && value.every((item) => typeof item !== 'object')) return value.join(', ');
  return indent(JSON.stringify(value, null, 2), margin).trimStart();
}

function oneLine(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function indent(text: string, margin: string): string {
  return text
    .split('\n')
    .map((line) => margin + line)
    .join('\n');
}
