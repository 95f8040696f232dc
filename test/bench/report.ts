// How figures are made and shown: medians, ratios within one run, a table and JSON.

import Table from 'cli-table3';

export interface Row {
  readonly what: string;
  readonly median: number;
  readonly unit: string;
  /** Against the floor of the same run. */
  readonly ratio?: number;
  /** What the ratio or figure has to be. */
  readonly bound?: string;
  readonly met?: boolean;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

/** The value that so much of the others is not above; 0.99 for the 99th percentile. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function report(name: string, how: string, rows: readonly Row[]): void {
  const table = new Table({ head: ['', 'median', '', 'ratio', 'bound', 'met'], style: { head: [], border: [] } });
  for (const { what, median: value, unit, ratio, bound, met } of rows)
    table.push([
      what,
      spell(value),
      unit,
      ratio === undefined ? '' : ratio.toFixed(3),
      bound ?? '',
      met === undefined ? '' : met ? 'yes' : 'NO',
    ]);
  process.stdout.write(`${name}: ${how}\n${table.toString()}\n${JSON.stringify({ bench: name, how, rows })}\n`);
}

function spell(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(2);
}
