// Whether and when a plugin that ended by itself is started again. A pure decision.

const windowMs = 60_000;
const maxCrashes = 5;
const baseDelayMs = 100;
const maxDelayMs = 10_000;

export type RestartPlan =
  | { readonly do: 'quarantine'; readonly crashes: number }
  | { readonly do: 'restart'; readonly afterMs: number };

/** @param crashes times of all crashes in milliseconds, the last one included */
export function planRestart(crashes: readonly number[], now: number, random: () => number): RestartPlan {
  const recent = crashes.filter((time) => now - time < windowMs);
  if (recent.length > maxCrashes) return { do: 'quarantine', crashes: recent.length };
  const ceiling = Math.min(maxDelayMs, baseDelayMs * 2 ** (recent.length - 1));
  return { do: 'restart', afterMs: ceiling * (0.5 + random() / 2) };
}
