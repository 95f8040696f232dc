// Durations as Go writes them, in files of Choria's AAA service.

const unitSeconds: Readonly<Record<string, number>> = { h: 3_600, m: 60, s: 1, ms: 1e-3, us: 1e-6, µs: 1e-6, ns: 1e-9 };

/** Seconds of `90m`, `1h30m` or `1.5h`; there are no days. Undefined if it is none, or negative. */
export function goDurationSeconds(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^\+?((\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|ns))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|ns)/g)];
  return parts.reduce((total, [, amount, unit = '']) => total + Number(amount) * (unitSeconds[unit] ?? 0), 0);
}
