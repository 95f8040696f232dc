// A canary: a share of the nodes that is asked first, and has to succeed before the others are asked.

import { countOf, LimitError, type LimitMethod, limitTargets } from './limit.ts';

export interface CanaryOptions {
  /** `5` nodes or `10%`, at least one. */
  readonly share: string;
  /** Percent of them that have to succeed, such as `90%`. Default: all. */
  readonly success?: string;
}

/** How the canary went. */
export interface CanaryVerdict {
  readonly asked: number;
  readonly ok: number;
  /** How many had to succeed. */
  readonly needed: number;
  readonly passed: boolean;
}

export interface CanaryPlan {
  readonly canary: readonly string[];
  readonly rest: readonly string[];
  readonly needed: number;
}

/** @throws LimitError for a share or percentage that is none */
export function checkCanary({ share, success = '100%' }: CanaryOptions): void {
  percentOf(success);
  countOf(share, 1, 'canary');
  const amount = Number.parseInt(share, 10);
  if (amount === 0 || (share.endsWith('%') && amount > 100))
    throw new LimitError(`a canary of '${share}' is no share of the nodes; give it 1 at least and 100% at most`);
}

/** @throws LimitError for a share or percentage that is none */
export function planCanary(
  targets: readonly string[],
  { share, success = '100%' }: CanaryOptions,
  method: LimitMethod,
  seed?: number,
): CanaryPlan {
  const percent = percentOf(success);
  const count = Math.max(1, countOf(share, targets.length, 'canary'));
  const canary = limitTargets(targets, String(count), method, seed);
  const chosen = new Set(canary);
  return {
    canary,
    rest: targets.filter((target) => !chosen.has(target)),
    needed: Math.ceil((canary.length * percent) / 100),
  };
}

function percentOf(success: string): number {
  const percent = Number(/^(\d{1,3})%?$/.exec(success)?.[1] ?? Number.NaN);
  if (!(percent <= 100)) throw new LimitError(`could not parse canary success '${success}' as percent, such as 90%`);
  return percent;
}
