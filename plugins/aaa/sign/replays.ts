// Requests that were signed, for as long as they live: each is signed once.

import { hash } from 'node:crypto';

const mostKept = 262_144;
const sweepEvery = 4_096;

export class Replays {
  /** When it ends, by digest; in the order in which they came. */
  readonly #ends = new Map<string, number>();
  #sinceSweep = 0;

  /** @returns what gives it free again, if it was not used after all; undefined if it was there already */
  claim(caller: string, request: string, endsAt: number, now: number): (() => void) | undefined {
    const digest = hash('sha256', `${caller}\0${request}`, 'base64url');
    const known = this.#ends.get(digest);
    if (known !== undefined && known > now) return undefined;
    this.#makeRoom(now);
    this.#ends.delete(digest);
    this.#ends.set(digest, endsAt);
    return () => void this.#ends.delete(digest);
  }

  #makeRoom(now: number): void {
    this.#sinceSweep += 1;
    const isFull = this.#ends.size >= mostKept;
    if (this.#sinceSweep < sweepEvery && !isFull) return;
    this.#sinceSweep = 0;
    for (const [digest, end] of this.#ends) if (end <= now) this.#ends.delete(digest);
    // Nodes look for replays as well, so that the oldest may go.
    for (const digest of this.#ends.keys()) {
      if (this.#ends.size < mostKept) break;
      this.#ends.delete(digest);
    }
  }
}
