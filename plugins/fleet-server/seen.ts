// Which signed bytes were shown before: two generations of short digests in flat memory, so that a busy node stays small.

const bytesPerHex = 8;
const firstSlots = 256;
/** Digests in one generation; with two of them a node remembers between 24,576 and 49,152 requests. */
const maxPerGeneration = 24_576;

export class Seen {
  #current = new Generation();
  #previous = new Generation();
  #rotatedAt: number;

  constructor(now: number) {
    this.#rotatedAt = now;
  }

  /**
   * True the first time that a digest (hex, of any cryptographic hash) is shown. It is remembered for `lifeMs` at least, unless
   * far more than 24,576 others come in that time.
   */
  admit(digest: string, now: number, lifeMs: number): boolean {
    const high = Number.parseInt(digest.slice(0, bytesPerHex), 16);
    // Zero stands for an empty slot.
    const low = Number.parseInt(digest.slice(bytesPerHex, 2 * bytesPerHex), 16) || 1;
    if (this.#current.has(high, low) || this.#previous.has(high, low)) return false;
    if (this.#current.size >= maxPerGeneration || now - this.#rotatedAt > lifeMs) {
      this.#previous = this.#current;
      this.#current = new Generation();
      this.#rotatedAt = now;
    }
    this.#current.add(high, low);
    return true;
  }
}

/** A set of pairs of 32-bit numbers with open addressing; it doubles when it is three quarters full. */
class Generation {
  size = 0;
  #slots = new Uint32Array(2 * firstSlots);

  has(high: number, low: number): boolean {
    return this.#slots[this.#find(high, low) + 1] !== 0;
  }

  add(high: number, low: number): void {
    if (this.size >= (this.#slots.length / 2) * 0.75) this.#grow();
    const at = this.#find(high, low);
    this.#slots[at] = high;
    this.#slots[at + 1] = low;
    this.size += 1;
  }

  /** Where the pair is, or would be. */
  #find(high: number, low: number): number {
    const mask = this.#slots.length / 2 - 1;
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const at = 2 * slot;
      if (this.#slots[at + 1] === 0 || (this.#slots[at] === high && this.#slots[at + 1] === low)) return at;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(2 * old.length);
    for (let at = 0; at < old.length; at += 2) {
      const [high = 0, low = 0] = [old[at], old[at + 1]];
      if (low === 0) continue;
      const to = this.#find(high, low);
      this.#slots[to] = high;
      this.#slots[to + 1] = low;
    }
  }
}
