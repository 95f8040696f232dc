// `plugin list`, `trace`, `reload` and `why`: what a running host tells of itself.

import Table from 'cli-table3';
import type { BundleProblem } from '../host/host.ts';
import type { PluginListing } from '../host/listing.ts';
import type { TraceEntry } from '../host/traces.ts';
import { printable } from '../protocol/printable.ts';
import { findStateFolder, withHost } from './control-client.ts';

interface Flags {
  readonly state?: string;
  readonly config?: string;
  readonly json?: boolean;
}

const reloadMs = 60_000;
const answerMs = 10_000;

export async function listPlugins(root: string, flags: Flags): Promise<void> {
  const listing = await withHost(findStateFolder(root, flags), (peer) => peer.call('plugin/list', {}, { deadlineMs: answerMs }));
  const { plugins, problems } = listing as { plugins: PluginListing[]; problems: BundleProblem[] };
  if (flags.json) {
    print(JSON.stringify({ plugins, problems }, null, 2));
    return;
  }
  const table = plainTable(['plugin', 'bundle', 'state', 'runner', 'pid', 'calls', 'errors', 'restarts', 'p50 ms', 'p99 ms']);
  for (const plugin of [...plugins].sort((a, b) => (`${a.kind}/${a.name}` < `${b.kind}/${b.name}` ? -1 : 1))) {
    const { kind, name, bundle, version, state, runner, announcedBy, pid, calls, errors, restarts, latency } = plugin;
    const run = announcedBy ? `in ${announcedBy}` : runner;
    const numbers = [calls, errors, restarts, latency?.p50 ?? '-', latency?.p99 ?? '-'];
    table.push([`${kind}/${name}`, `${bundle} ${version}`, state, run, pid ?? '-', ...numbers]);
  }
  print(table.toString());
  for (const { bundle, message } of problems) print(`\n${bundle} is not loaded:\n  ${message.replaceAll('\n', '\n  ')}`);
}

export async function tracePlugins(
  root: string,
  name: string | undefined,
  flags: Flags & { readonly details?: boolean },
): Promise<void> {
  const end = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end.abort());
  const show = (entry: TraceEntry) => print(flags.json ? JSON.stringify(entry) : traceLine(entry));
  await withHost(findStateFolder(root, flags), async (peer) => {
    const params = { ...(name !== undefined && { plugin: name }), details: flags.details === true };
    await peer
      .call('plugin/trace', params, { signal: end.signal, onProgress: (entry) => show(entry as TraceEntry) })
      .catch((error: Error) => {
        if (!end.signal.aborted) throw error;
      });
  });
}

export async function changeLogLevel(root: string, level: string | undefined, flags: Flags): Promise<void> {
  const answer = await withHost(findStateFolder(root, flags), (peer) =>
    peer.call('host/log-level', level === undefined ? {} : { level }, { deadlineMs: answerMs }),
  );
  const { level: now } = answer as { level: string };
  process.stdout.write(flags.json ? `${JSON.stringify({ level: now })}\n` : `${now}\n`);
}

export async function reloadBundle(root: string, bundle: string, flags: Flags): Promise<void> {
  await withHost(findStateFolder(root, flags), (peer) => peer.call('plugin/reload', { bundle }, { deadlineMs: reloadMs }));
  process.stdout.write(flags.json ? '{"reloaded":true}\n' : `${bundle} is loaded\n`);
}

export async function whyNot(root: string, name: string, flags: Flags): Promise<void> {
  const told = await withHost(findStateFolder(root, flags), (peer) =>
    peer.call('plugin/why', { name }, { deadlineMs: answerMs }),
  );
  const { answer } = told as { answer: string };
  print(flags.json ? JSON.stringify({ answer }) : answer);
}

/** What plugins and callers said is in it. */
function print(text: string): void {
  process.stdout.write(`${printable(text)}\n`);
}

function traceLine({ time, plugin, what, details, method, outcome, message, ms, depth, trace }: TraceEntry): string {
  const when = new Date(time).toISOString().slice(11, 23);
  const direction = { call: '', delivery: 'delivered: ', capability: 'asks: ' }[what];
  const head = `${when} ${String(ms).padStart(9)} ms  ${outcome.padEnd(9)} ${'  '.repeat(depth)}${plugin} ${direction}${method}`;
  const line = `${head}${trace ? ` [${trace}]` : ''}${message ? `: ${message}` : ''}`;
  if (!details) return line;
  const said = [details.params, ...details.progress, ...(details.error ? [] : [details.result])];
  return [line, ...said.map((value, index) => `    ${index === 0 ? '→' : '←'} ${JSON.stringify(value)}`)].join('\n');
}

/** A table of bare columns, good to read and to cut. */
export function plainTable(head: readonly string[]): Table.Table {
  const none = '';
  return new Table({
    head: [...head],
    chars: {
      top: none,
      'top-mid': none,
      'top-left': none,
      'top-right': none,
      bottom: none,
      'bottom-mid': none,
      'bottom-left': none,
      'bottom-right': none,
      left: none,
      'left-mid': none,
      mid: none,
      'mid-mid': none,
      right: none,
      'right-mid': none,
      middle: '  ',
    },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
}
