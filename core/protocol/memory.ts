// The carrier of inline plugins: messages go over as they are, without bytes.

import type { Message } from './messages.ts';
import type { Carrier, Receiver } from './peer.ts';

/** Two ends of one conversation in memory. With `strict`, every message is checked to be JSON or bytes, and frozen. */
export function memoryCarriers({ strict = false } = {}): [Carrier, Carrier] {
  const ends: [MemoryCarrier, MemoryCarrier] = [new MemoryCarrier(strict), new MemoryCarrier(strict)];
  ends[0].other = ends[1];
  ends[1].other = ends[0];
  return ends;
}

class MemoryCarrier implements Carrier {
  other: MemoryCarrier | undefined;
  readonly #strict: boolean;
  #receiver: Receiver | undefined;
  #early: Message[] = [];

  constructor(strict: boolean) {
    this.#strict = strict;
  }

  send(message: Message): undefined {
    if (this.#strict) freezeJson(message, '');
    this.other?.deliver(message);
  }

  start(receiver: Receiver): void {
    this.#receiver = receiver;
    for (const message of this.#early.splice(0)) receiver.message(message);
  }

  close(): void {
    const other = this.other;
    this.other = undefined;
    this.#receiver = undefined;
    other?.end();
  }

  deliver(message: Message): void {
    if (this.#receiver) this.#receiver.message(message);
    else this.#early.push(message);
  }

  end(): void {
    this.other = undefined;
    this.#receiver?.closed(new Error('the other side ended'));
  }
}

/** What is nested deeper is passed as it is, as it would be where nothing is frozen. */
const maxDepth = 500;

function freezeJson(value: unknown, path: string, depth = 0): void {
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || value instanceof Uint8Array) return;
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`${path || 'message'} is ${value}, which JSON cannot carry`);
    return;
  }
  if (typeof value !== 'object') throw new TypeError(`${path || 'message'} is a ${typeof value}, which JSON cannot carry`);
  const prototype = Object.getPrototypeOf(value);
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) {
    throw new TypeError(`${path || 'message'} is a ${prototype?.constructor?.name ?? 'object'}, which JSON cannot carry`);
  }
  if (Object.isFrozen(value) || depth > maxDepth) return;
  Object.freeze(value);
  for (const [key, member] of Object.entries(value)) if (member !== undefined) freezeJson(member, `${path}/${key}`, depth + 1);
}
