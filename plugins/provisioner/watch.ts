// Nodes as they are enrolled: a live table on a terminal, a line for each step elsewhere.

import { writeFileSync } from 'node:fs';
import { type Host, printable } from '../../core/sdk/typescript/index.ts';
import type { StepEvent, ToldStep } from './journal.ts';
import { connection } from './node-rpc.ts';

const columns = ['seen', 'token', 'csr', 'signed', 'configured', 'up'] as const;
const maxRows = 20;
const drawMs = 150;

interface Row {
  readonly identity: string;
  step: ToldStep;
  reason: string;
}

export interface WatchOptions {
  readonly json: boolean;
  readonly untilUp?: number | undefined;
  /** Made when nothing is missed any more. */
  readonly readyFile?: string | undefined;
}

/** Until the signal says so, or so many nodes are up. */
export async function watch(
  host: Host,
  { json, untilUp = Number.POSITIVE_INFINITY, readyFile }: WatchOptions,
  signal: AbortSignal,
): Promise<void> {
  const { tty, color, columns: width } = await host.terminal.info();
  const up = new Set<string>();
  const enough = new AbortController();
  const ended = AbortSignal.any([signal, enough.signal]);
  const table = !json && tty ? new LiveTable(host, color, width) : undefined;
  await host.bus.subscribe({ connection, id: 'steps', subject: 'choria.provisioning.event.*' }, async ({ payload }) => {
    const event = readEvent(payload);
    if (!event) return;
    if (table) table.take(event);
    else await host.terminal.write(json ? `${JSON.stringify(event)}\n` : lineOf(event));
    if (event.data.step === 'up') up.add(event.data.identity);
    if (up.size >= untilUp) enough.abort();
  });
  if (readyFile !== undefined) writeFileSync(readyFile, '');
  if (table) await table.draw();
  const timer = table && setInterval(() => void table.draw(), drawMs);
  await new Promise<void>((resolve) => {
    if (ended.aborted) resolve();
    else ended.addEventListener('abort', () => resolve(), { once: true });
  });
  clearInterval(timer);
  await table?.draw();
}

function readEvent(payload: Uint8Array): StepEvent | undefined {
  try {
    const event = JSON.parse(Buffer.from(payload).toString()) as StepEvent;
    return typeof event.data?.identity === 'string' && typeof event.data.step === 'string' ? event : undefined;
  } catch {
    return undefined;
  }
}

function lineOf({ time, data: { identity, step, reason } }: StepEvent): string {
  return `${printable(`${time}  ${identity}  ${step}${reason === undefined ? '' : `: ${reason}`}`)}\n`;
}

class LiveTable {
  readonly #host: Host;
  readonly #color: boolean;
  /** A line that is longer would be two. */
  readonly #width: number;
  readonly #rows = new Map<string, Row>();
  readonly #counts = new Map<ToldStep, number>();
  #lines = 0;
  #changed = true;

  constructor(host: Host, color: boolean, width: number) {
    this.#width = width;
    this.#host = host;
    this.#color = color;
  }

  take({ data: { identity, step, reason = '' } }: StepEvent): void {
    this.#rows.set(identity, { identity, step, reason });
    this.#counts.set(step, (this.#counts.get(step) ?? 0) + 1);
    // Room for those that come is made by those that are done.
    const [first] = this.#rows.keys();
    const leaving = [...this.#rows.values()].find((row) => row.step === 'up')?.identity ?? first ?? '';
    if (this.#rows.size > maxRows) this.#rows.delete(leaving);
    this.#changed = true;
  }

  async draw(): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    const width = Math.max(20, ...[...this.#rows.keys()].map((identity) => identity.length));
    const lines = [
      `${'node'.padEnd(width)}  ${columns.join('  ')}`,
      ...[...this.#rows.values()].map((row) => this.#line(row, width)),
      [...this.#counts].map(([step, count]) => `${step} ${count}`).join(', ') || 'waiting for nodes',
    ];
    const up = this.#lines > 0 ? `\x1b[${this.#lines}A` : '';
    this.#lines = lines.length;
    await this.#host.terminal.write(up + lines.map((line) => `\x1b[2K${line}\n`).join(''));
  }

  #line({ identity, step, reason }: Row, width: number): string {
    const name = printable(identity).padEnd(width);
    const reached = columns.indexOf(step as (typeof columns)[number]);
    const room = Math.max(0, this.#width - name.length - 3);
    if (reached === -1) return `${name}  ${this.#paint(printable(`${step}: ${reason}`).slice(0, room), 33)}`;
    const cells = columns.map((column, index) => (index <= reached ? '✓' : '·').padEnd(column.length));
    return `${name}  ${this.#paint(cells.join('  '), step === 'up' ? 32 : 0)}`;
  }

  #paint(text: string, code: number): string {
    return this.#color && code > 0 ? `\x1b[${code}m${text}\x1b[0m` : text;
  }
}
