// Numbers as a line of characters over an axis, drawn as Choria's `chart` aggregate draws it, since the text travels in
// its JSON summaries.

import { fixed } from './format.ts';

const height = 15;
const width = 60;
/** Cells before the line: the label, blanks, the axis. */
const margin = 5;

/** Lines from top to bottom, joined; empty without numbers. */
export function drawChart(values: readonly number[]): string {
  if (values.length === 0) return '';
  const series = stretch(values, width);
  const [lowest, highest] = [Math.min(...series), Math.max(...series)];
  const interval = highest - lowest;
  const ratio = interval === 0 ? 1 : height / interval;
  const base = roundAway(lowest * ratio);
  const rows = Math.abs(roundAway(highest * ratio) - base);
  const levels = series.map((value) => roundAway(value * ratio) - base);
  const grid = Array.from({ length: rows + 1 }, (_, row) => [
    ...axis(interval === 0 ? lowest : highest - (row * interval) / Math.max(1, rows), lowest, highest),
    ...Array<string>(width).fill(' '),
  ]);
  const put = (level: number, column: number, character: string) => {
    const row = grid[rows - level];
    if (row) row[column] = character;
  };
  put(levels[0] ?? 0, margin - 1, '┼');
  for (let x = 0; x < width - 1; x += 1) {
    const [from, to] = [levels[x] ?? 0, levels[x + 1] ?? 0];
    if (from === to) put(from, margin + x, '─');
    else {
      put(to, margin + x, from > to ? '╰' : '╭');
      put(from, margin + x, from > to ? '╮' : '╯');
      for (let level = Math.min(from, to) + 1; level < Math.max(from, to); level += 1) put(level, margin + x, '│');
    }
  }
  return grid.map((row) => row.join('').trimEnd()).join('\n');
}

/** As many values as there are columns, with straight lines between those that there are. */
function stretch(values: readonly number[], count: number): number[] {
  const step = (values.length - 1) / (count - 1);
  return Array.from({ length: count }, (_, column) => {
    const at = column === count - 1 ? values.length - 1 : column * step;
    const before = values[Math.floor(at)] ?? 0;
    return before + ((values[Math.ceil(at)] ?? before) - before) * (at - Math.floor(at));
  });
}

/** The cells before the line: a label right of its blanks, then the axis. */
function axis(value: number, lowest: number, highest: number): string[] {
  const digits = decimals(lowest, highest);
  const room = Math.max(fixed(highest, digits).length, fixed(lowest, digits).length) + 1;
  const label = fixed(value, digits).padStart(room);
  const cells = Array<string>(margin).fill(' ');
  cells[Math.max(margin - label.length, 0)] = label;
  cells[margin - 1] = '┤';
  return cells;
}

/** Two, none for values beyond a hundred, more for those below one. */
function decimals(lowest: number, highest: number): number {
  const largest = Math.max(Math.abs(highest), Math.abs(lowest));
  const magnitude = largest === 0 ? -1 : Math.log10(largest);
  if (magnitude < 0) return Number.isInteger(magnitude) ? 1 - magnitude : 2 + Math.floor(-magnitude);
  return magnitude > 2 ? 0 : 2;
}

/** Halves away from zero. */
function roundAway(value: number): number {
  return Math.sign(value) * Math.round(Math.abs(value));
}
