// Summaries of replies as an action's DDL asks for them: `summary`, `average` and `chart` (formats of Choria's MCollective DDLs),
// and `process_summary`, which the DDL of the agent `process` brings. They are made reply by reply, in bounded memory.

import type { ActionItem } from '../wire/ddl.ts';
import { drawChart } from './chart.ts';
import { fixed, formatVerbs } from './format.ts';

/** One summary: the values for programs, and lines for people. */
export interface Aggregated {
  readonly output: string;
  readonly displayAs: string;
  readonly result: Readonly<Record<string, number | string>>;
  readonly lines: readonly string[];
}

type Options = Readonly<Record<string, unknown>>;

interface Spec {
  readonly function: string;
  readonly output: string;
  readonly options: Options;
}

type Summary = Pick<Aggregated, 'result' | 'lines'>;

/** A summary that grows with each value. */
interface Running {
  add(value: unknown): void;
  summary(): Summary;
}

const nothing: Summary = { result: {}, lines: [] };
const functions: Readonly<Record<string, (options: Options) => Running>> = {
  summary: countValues,
  boolean_summary: countValues,
  average,
  chart,
  process_summary: processSummary,
};
/** Different values that are told apart: one for each node of a full overlay, and more. */
const maxDistinct = 32_768;
const others = 'other values';
/** Longer ones are not what the others are lined up with. */
const maxWidth = 100;
/** Numbers that a chart is drawn of, some for each of its columns. */
const maxSamples = 4_096;

export class Aggregator {
  readonly #action: ActionItem;
  readonly #running: readonly (Spec & { readonly running: Running })[];

  /** Specifications that make no sense are passed over, as by others who read DDLs. */
  constructor(action: ActionItem) {
    this.#action = action;
    this.#running = specsOf(action).flatMap((spec) => {
      const running = functions[spec.function]?.(spec.options);
      return running ? [{ ...spec, running }] : [];
    });
  }

  /** Takes the data of one reply. */
  add(data: unknown): void {
    if (typeof data !== 'object' || data === null) return;
    for (const { output, running } of this.#running)
      if (Object.hasOwn(data, output)) running.add((data as Record<string, unknown>)[output]);
  }

  /** Of what was added so far, sorted by what the outputs are called. */
  results(): Aggregated[] {
    return this.#running
      .map(({ output, running }) => {
        const displayAs = this.#action.output[output]?.display_as ?? output;
        return { output, displayAs, ...running.summary() };
      })
      .sort((a, b) => (a.displayAs < b.displayAs ? -1 : 1));
  }
}

/** The summaries of replies that are all there. */
export function aggregate(action: ActionItem, replies: Iterable<{ readonly data: unknown }>): Aggregated[] {
  const aggregator = new Aggregator(action);
  for (const { data } of replies) aggregator.add(data);
  return aggregator.results();
}

/** A later one for the same output replaces an earlier one. */
function specsOf({ aggregate: specs = [] }: ActionItem): Spec[] {
  const byOutput = new Map<string, Spec>();
  for (const spec of specs) {
    const [output, options] = (spec.args ?? []) as readonly unknown[];
    if (typeof output !== 'string' || !Object.hasOwn(functions, spec.function)) continue;
    byOutput.set(output, {
      function: spec.function,
      output,
      options: typeof options === 'object' && options !== null ? (options as Options) : {},
    });
  }
  return [...byOutput.values()];
}

function countValues({ format, ...labels }: Options): Running {
  const counts = new Map<string, number>();
  return {
    add: (value) => {
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      const label = Object.hasOwn(labels, text) ? String(labels[text]) : text;
      const key = counts.has(label) || counts.size < maxDistinct ? label : others;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    },
    summary: () => {
      const sorted = [...counts].sort(([, a], [, b]) => b - a);
      const width = sorted.reduce((widest, [label]) => Math.max(widest, label.length > maxWidth ? 0 : label.length), 0);
      const line = (label: string, count: number) =>
        typeof format === 'string' ? formatVerbs(format, [label, count]) : `${label.padStart(width)}: ${count}`;
      return { result: Object.fromEntries(sorted), lines: sorted.map(([label, count]) => line(label, count)) };
    },
  };
}

function average({ format }: Options): Running {
  let sum = 0;
  let count = 0;
  return {
    add: (value) => {
      const number = numberOf(value);
      if (number === undefined) return;
      sum += number;
      count += 1;
    },
    summary: () => {
      if (count === 0) return nothing;
      const mean = sum / count;
      return {
        result: { average: mean },
        lines: [typeof format === 'string' ? formatVerbs(format, [mean]) : `Average: ${fixed(mean, 3)}`],
      };
    },
  };
}

/** In the order in which the replies came; of very many, every second, fourth … one. */
function chart(): Running {
  let samples: number[] = [];
  let seen = 0;
  let stride = 1;
  return {
    add: (value) => {
      const number = numberOf(value);
      if (number === undefined) return;
      if (seen % stride === 0) samples.push(number);
      seen += 1;
      if (samples.length < maxSamples) return;
      samples = samples.filter((_, index) => index % 2 === 0);
      stride *= 2;
    },
    summary: () => {
      if (samples.length === 0) return nothing;
      const drawn = drawChart(samples);
      return { result: { chart: drawn }, lines: drawn.split('\n') };
    },
  };
}

/** A number, or a text that is one; the rest is passed over. */
function numberOf(value: unknown): number | undefined {
  if (typeof value !== 'number' && (typeof value !== 'string' || value.trim() === '')) return undefined;
  const number = Number(value);
  return Number.isFinite(number) ? number : undefined;
}

/** Nodes that have any of the processes asked for, their number, and their memory: `rss` comes in KiB, `vsize` in bytes. */
function processSummary(): Running {
  const total = { hosts: 0, processes: 0, rss: 0, vsize: 0 };
  return {
    add: (value) => {
      if (!Array.isArray(value) || value.length === 0) return;
      total.hosts += 1;
      for (const process of value as (Record<string, unknown> | null)[]) {
        total.processes += 1;
        total.rss += (Number(process?.rss) || 0) * 1024;
        total.vsize += Number(process?.vsize) || 0;
      }
    },
    summary: () => {
      const named: [string, string | number][] = [
        ['Matched hosts', total.hosts],
        ['Matched processes', total.processes],
        ['Resident memory', spellBytes(total.rss)],
        ['Virtual memory', spellBytes(total.vsize)],
      ];
      return { result: { ...total }, lines: named.map(([name, value]) => `${name.padStart(17)}: ${value}`) };
    },
  };
}

function spellBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}
