// Summaries of replies as an action's DDL asks for them: `summary`, `average` and `chart` (formats of Choria's MCollective DDLs),
// and `process_summary`, which the DDL of the agent `process` brings.

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

interface Spec {
  readonly function: string;
  readonly output: string;
  readonly options: Readonly<Record<string, unknown>>;
}

type Summary = Pick<Aggregated, 'result' | 'lines'>;

const nothing: Summary = { result: {}, lines: [] };
const functions: Readonly<Record<string, (values: readonly unknown[], options: Spec['options']) => Summary>> = {
  summary,
  boolean_summary: summary,
  average,
  chart,
  process_summary: processSummary,
};

/** Sorted by what the outputs are called. Specifications that make no sense are passed over, as by others who read DDLs. */
export function aggregate(action: ActionItem, replies: readonly { readonly data: unknown }[]): Aggregated[] {
  return specsOf(action)
    .map(({ function: name, output, options }) => {
      const values = replies.flatMap(({ data }) => outputOf(data, output));
      const displayAs = action.output[output]?.display_as ?? output;
      return { output, displayAs, ...(functions[name]?.(values, options) ?? nothing) };
    })
    .sort((a, b) => (a.displayAs < b.displayAs ? -1 : 1));
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
      options: typeof options === 'object' && options !== null ? (options as Spec['options']) : {},
    });
  }
  return [...byOutput.values()];
}

function outputOf(data: unknown, output: string): unknown[] {
  if (typeof data !== 'object' || data === null || !Object.hasOwn(data, output)) return [];
  return [(data as Record<string, unknown>)[output]];
}

function summary(values: readonly unknown[], { format, ...labels }: Spec['options']): Summary {
  const counts = new Map<string, number>();
  for (const value of values) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    const label = Object.hasOwn(labels, text) ? String(labels[text]) : text;
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  const width = Math.max(0, ...sorted.map(([label]) => label.length));
  const line = (label: string, count: number) =>
    typeof format === 'string' ? formatVerbs(format, [label, count]) : `${label.padStart(width)}: ${count}`;
  return { result: Object.fromEntries(sorted), lines: sorted.map(([label, count]) => line(label, count)) };
}

function average(values: readonly unknown[], { format }: Spec['options']): Summary {
  const numbers = numbersOf(values);
  if (numbers.length === 0) return nothing;
  const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
  return {
    result: { average: mean },
    lines: [typeof format === 'string' ? formatVerbs(format, [mean]) : `Average: ${fixed(mean, 3)}`],
  };
}

/** In the order in which the replies came. */
function chart(values: readonly unknown[]): Summary {
  const numbers = numbersOf(values);
  if (numbers.length === 0) return nothing;
  const drawn = drawChart(numbers);
  return { result: { chart: drawn }, lines: drawn.split('\n') };
}

/** Numbers, and texts that are numbers; the rest is passed over. */
function numbersOf(values: readonly unknown[]): number[] {
  return values
    .filter((value) => typeof value === 'number' || (typeof value === 'string' && value.trim() !== ''))
    .map(Number)
    .filter(Number.isFinite);
}

/** Nodes that have any of the processes asked for, their number, and their memory: `rss` comes in KiB, `vsize` in bytes. */
function processSummary(values: readonly unknown[]): Summary {
  const lists = values.filter(Array.isArray).filter((list) => list.length > 0) as Record<string, unknown>[][];
  const total = (key: string) => lists.flat().reduce((sum, process) => sum + (Number(process?.[key]) || 0), 0);
  const result = { hosts: lists.length, processes: lists.flat().length, rss: total('rss') * 1024, vsize: total('vsize') };
  const named: [string, string | number][] = [
    ['Matched hosts', result.hosts],
    ['Matched processes', result.processes],
    ['Resident memory', spellBytes(result.rss)],
    ['Virtual memory', spellBytes(result.vsize)],
  ];
  return { result, lines: named.map(([name, value]) => `${name.padStart(17)}: ${value}`) };
}

function spellBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}
