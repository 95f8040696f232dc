// Shares of nodes: the first or some random ones of those that were discovered.

import { randomInt } from 'node:crypto';
import { GoRandom } from './go-random.ts';

export class LimitError extends Error {
  override readonly name = 'LimitError';
  readonly code = 'LIMIT';
}

export type LimitMethod = 'first' | 'random';

/**
 * Takes `10` or `10%` of the targets, rounded down.
 * @param seed makes a random choice repeatable: the same nodes as with Choria's client
 * @throws LimitError if the text is neither, or nobody is left
 */
export function limitTargets(
  targets: readonly string[],
  text: string | undefined,
  method: LimitMethod,
  seed?: number,
): readonly string[] {
  if (text === undefined) return targets;
  const count = countOf(text, targets.length, 'limit');
  if (count <= 0) throw new LimitError(`no targets left after applying target limits of '${text}'`);
  return (method === 'first' ? targets : shuffle(targets, seed)).slice(0, count);
}

/** How many of a total `10` or `10%` are, rounded down, and never more than all. @throws LimitError if it is neither */
export function countOf(text: string, total: number, what: string): number {
  const parsed = /^(\d+)(%?)$/.exec(text);
  if (!parsed) throw new LimitError(`could not parse ${what} '${text}' as either number or percent, such as 10 or 10%`);
  const [, digits = '', percent] = parsed;
  const count = percent ? Math.floor((total * Number(digits)) / 100) : Number(digits);
  return Math.min(total, count);
}

function shuffle(items: readonly string[], seed: number | undefined): string[] {
  if (seed !== undefined && seed > 0) return new GoRandom(seed).shuffle(items);
  const shuffled = [...items];
  for (let last = shuffled.length - 1; last > 0; last -= 1) {
    const other = randomInt(last + 1);
    [shuffled[last], shuffled[other]] = [shuffled[other] ?? '', shuffled[last] ?? ''];
  }
  return shuffled;
}
