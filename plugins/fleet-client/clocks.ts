// Clocks that differ. A node drops what is older than its time to live, or younger than now by as much, and says so nowhere but
// in its own log; replies carry the time of the node, so whoever answers can be told of before that happens.

import { spellMs } from './commands/text.ts';

/** A difference that is worth a word: well below the shortest time to live, and more than a busy node takes. */
const toleratedMs = 10_000;
/** Different clocks that are kept, one for each node. */
const maxKept = 10_000;
const maxNamed = 5;
/** Of this many that agree, it is not each of them that is wrong. */
const crowd = 3;
/** The time to live, in seconds, of questions that are asked because clocks may differ: nodes take it from the message. */
export const patientTtl = 86_400;

export class Clocks {
  readonly #offsets = new Map<string, number>();
  #seen = 0;

  /** A reply came now that the node sealed at `time`, in Unix seconds of its own. */
  note(sender: string, time: number, now: number): void {
    this.#seen += 1;
    // The time is cut to a second.
    const offset = time * 1000 + 500 - now;
    if (Math.abs(offset) > toleratedMs && this.#offsets.size < maxKept) this.#offsets.set(sender, offset);
  }

  /** What to tell of them; nothing if all is well. */
  warnings(ttl: number): string[] {
    const all = [...this.#offsets].sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
    if (all.length === 0) return [];
    const advice = `a node drops requests that are off by its clock by ${ttl} s or more; set the clocks by NTP`;
    const [, median = 0] = all[Math.floor(all.length / 2)] ?? [];
    const agree = all.every(([, offset]) => offset > 0 === median > 0);
    const isOwn = all.length >= crowd && all.length === this.#seen && agree;
    if (isOwn) return [`the clock of this machine is ${spell(-median)}, by those of ${all.length} nodes; ${advice}`];
    const named = all.slice(0, maxNamed).map(([sender, offset]) => `that of ${sender} is ${spell(offset)}`);
    const more = all.length > maxNamed ? `, and ${all.length - maxNamed} others differ` : '';
    return [`clocks differ from the one of this machine: ${named.join(', ')}${more}; ${advice}`];
  }
}

function spell(offsetMs: number): string {
  const seconds = Math.round(Math.abs(offsetMs) / 1000) * 1000;
  return `${spellMs(seconds)} ${offsetMs < 0 ? 'behind' : 'ahead'}`;
}
