// Limits: the first or some random ones of the nodes that were discovered.

import { randomInt } from 'node:crypto';

export class LimitError extends Error {
  override readonly name = 'LimitError';
  readonly code = 'LIMIT';
}

/**
 * Takes `10` or `10%` of the targets, rounded down.
 * @param seed makes a random choice repeatable
 * @throws LimitError if the text is neither, or nobody is left
 */
export function limitTargets(
  targets: readonly string[],
  text: string | undefined,
  method: 'first' | 'random',
  seed?: number,
): readonly string[] {
  if (text === undefined) return targets;
  const parsed = /^(\d+)(%?)$/.exec(text);
  if (!parsed) throw new LimitError(`could not parse limit '${text}' as either number or percent`);
  const [, digits = '', percent] = parsed;
  const count = percent ? Math.floor((targets.length * Number(digits)) / 100) : Number(digits);
  if (count <= 0) throw new LimitError(`no targets left after applying target limits of '${text}'`);
  const ordered = method === 'first' ? targets : shuffle(targets, seed);
  return ordered.slice(0, count);
}

function shuffle(items: readonly string[], seed: number | undefined): string[] {
  const next = seed === undefined || seed <= 0 ? (below: number) => randomInt(below) : seeded(seed);
  const shuffled = [...items];
  for (let last = shuffled.length - 1; last > 0; last -= 1) {
    const other = next(last + 1);
    [shuffled[last], shuffled[other]] = [shuffled[other] ?? '', shuffled[last] ?? ''];
  }
  return shuffled;
}

/** The generator mulberry32: small, and the same everywhere. */
function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}
