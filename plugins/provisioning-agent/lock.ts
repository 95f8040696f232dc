// Who is at work on this node: one provisioner at a time, and none that has been replaced.

import { createHash, timingSafeEqual } from 'node:crypto';

export interface Asking {
  readonly sender: string;
  readonly caller: string;
  /** When the sender was elected, in Unix milliseconds; provisioners of Choria tell none. */
  readonly epoch: number | undefined;
  /** Whether it showed the token. What it says of itself counts only then. */
  readonly isTrusted: boolean;
}

const heldMs = 120_000;
/** Clocks of provisioner and node may differ; a time beyond that would shut out every later one. */
const aheadMs = 3_600_000;

interface Holder {
  readonly key: string;
  readonly until: number;
  readonly epoch: number | undefined;
}

export class Lock {
  #holder: Holder | undefined;
  #highest: number | undefined;

  /** Takes the lock, or tells why not. */
  take({ sender, caller, epoch, isTrusted }: Asking, now: number): string | undefined {
    const key = `${sender}.${caller}`;
    if (epoch !== undefined && epoch > now + aheadMs) return `the epoch ${epoch} is in the future; compare the clocks`;
    if (epoch !== undefined && this.#highest !== undefined && epoch < this.#highest)
      return `a provisioner with the epoch ${this.#highest} has taken over from that with ${epoch}`;
    const holder = this.#holder;
    const isHeld = holder !== undefined && holder.until > now && holder.key !== key;
    const replaces = isTrusted && epoch !== undefined && holder?.epoch !== undefined && epoch > holder.epoch;
    if (isHeld && !replaces) return 'another provisioner is at work on this node';
    this.#holder = { key, until: now + heldMs, epoch: isTrusted ? epoch : undefined };
    if (isTrusted && epoch !== undefined) this.#highest = epoch;
    return undefined;
  }
}

/** In a time that does not tell how much of it is right. */
export function isSame(given: string, expected: string): boolean {
  const [one, other] = [given, expected].map((text) => createHash('sha256').update(text).digest());
  return one !== undefined && other !== undefined && timingSafeEqual(one, other);
}
