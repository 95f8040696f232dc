// How people read times, lists of names and values (as Choria's client prints them).

const nanosecondsPerMs = 1e6;

/** Rounded to milliseconds: `45ms`, `2.15s`, `1m2.5s`. */
export function spellMs(ms: number): string {
  return spellNanoseconds(Math.round(ms) * nanosecondsPerMs);
}

/** Rounded to microseconds, for what is short. */
export function spellFineMs(ms: number): string {
  return spellNanoseconds(Math.round(ms * 1000) * 1000);
}

/** As Go writes a duration. */
function spellNanoseconds(nanoseconds: number): string {
  const plain = (value: number) => String(Number(value.toFixed(6)));
  if (nanoseconds < 1e3) return nanoseconds === 0 ? '0s' : `${nanoseconds}ns`;
  if (nanoseconds < 1e6) return `${plain(nanoseconds / 1e3)}µs`;
  if (nanoseconds < 1e9) return `${plain(nanoseconds / 1e6)}ms`;
  const seconds = nanoseconds / 1e9;
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60)];
  return `${hours > 0 ? `${hours}h` : ''}${minutes > 0 ? `${minutes % 60}m` : ''}${plain(seconds - minutes * 60)}s`;
}

/** Names in rows of so many, each column as wide as it has to be. */
export function inRows(names: readonly string[], columns: number): string {
  const rows: string[][] = [];
  for (let first = 0; first < names.length; first += columns) rows.push(names.slice(first, first + columns));
  return aligned(rows);
}

/** Names from top to bottom in so many columns. */
export function inColumns(names: readonly string[], columns: number): string {
  const height = Math.ceil(names.length / columns);
  return aligned(Array.from({ length: height }, (_, row) => names.filter((_name, index) => index % height === row)));
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [column, name] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, name.length);
  return rows
    .map((row) => `    ${row.map((name, column) => name.padEnd((widths[column] ?? 0) + 4)).join('')}`.trimEnd())
    .join('\n');
}

const widestLine = 80;

/** JSON with sorted keys; a list of plain values is one line where it fits. */
export function prettyJson(value: unknown, margin = ''): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const inner = `${margin}  `;
  if (Array.isArray(value)) {
    const line = `[${value.map((item) => JSON.stringify(item)).join(', ')}]`;
    if (value.every((item) => typeof item !== 'object' || item === null) && line.length <= widestLine) return line;
    return `[\n${value.map((item) => inner + prettyJson(item, inner)).join(',\n')}\n${margin}]`;
  }
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  if (entries.length === 0) return '{}';
  const lines = entries.map(([key, item]) => `${inner}${JSON.stringify(key)}: ${prettyJson(item, inner)}`);
  return `{\n${lines.join(',\n')}\n${margin}}`;
}
