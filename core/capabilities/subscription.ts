// Delivery of one subscription: in order of arrival, a window unanswered, a limit waiting, the newest dropped past it.

import type { HostLog } from '../host/log.ts';
import { PluginError } from '../protocol/errors.ts';
import type { Params } from '../protocol/messages.ts';

/** Messages of one subscription that a plugin may have unanswered. */
export const windowSize = 64;
/** A message that a plugin did not survive this often is given up. */
const maxAttempts = 3;
const reportDropsMs = 1_000;

export interface SubscriptionOptions {
  readonly id: string;
  /** Messages that may wait beyond the window. */
  readonly limit: number;
  readonly deliver: (message: Params) => Promise<unknown>;
  /** Tells the plugin how many were dropped. */
  readonly notify: (dropped: number) => void;
  readonly log: HostLog;
}

interface Item {
  readonly sequence: number;
  readonly message: Params;
  attempts: number;
}

export class Subscription {
  readonly #options: SubscriptionOptions;
  #queue: Item[] = [];
  // Taken from the front without moving the rest; cut off now and then.
  #head = 0;
  readonly #unanswered = new Set<Item>();
  readonly #again: Item[] = [];
  #sequence = 0;
  #dropped = 0;
  #report: NodeJS.Timeout | undefined;
  #closed = false;
  #onIdle: (() => void) | undefined;

  constructor(options: SubscriptionOptions) {
    this.#options = options;
  }

  push(message: Params): void {
    if (this.#closed) return;
    this.#sequence += 1;
    const item: Item = { sequence: this.#sequence, message, attempts: 0 };
    if (this.#waiting === 0 && this.#again.length === 0 && this.#unanswered.size < windowSize) {
      this.#send(item);
      return;
    }
    if (this.#waiting >= this.#options.limit) {
      this.#drop();
      return;
    }
    this.#queue.push(item);
  }

  /** Delivers nothing more; waits for the answers that are due. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#report);
    if (this.#waiting + this.#unanswered.size === 0) return;
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      setTimeout(resolve, 3_000).unref();
    });
    this.#pump();
    await idle;
  }

  get #waiting(): number {
    return this.#queue.length - this.#head;
  }

  #send(item: Item): void {
    this.#unanswered.add(item);
    item.attempts += 1;
    this.#options.deliver(item.message).then(
      () => this.#answered(item),
      (error: unknown) => this.#failed(item, error),
    );
  }

  #answered(item: Item): void {
    this.#unanswered.delete(item);
    this.#pump();
  }

  #failed(item: Item, error: unknown): void {
    const lost = error instanceof PluginError && error.retryable && item.attempts < maxAttempts && !this.#closed;
    if (lost) this.#again.push(item);
    else this.#options.log.warn({ subscription: this.#options.id }, `a message was not taken: ${(error as Error).message}`);
    this.#unanswered.delete(item);
    this.#pump();
  }

  #pump(): void {
    // What a version did not live to answer goes first, in its old order, once the whole window has failed or ended.
    if (this.#again.length > 0) {
      if (this.#unanswered.size > 0) return;
      this.#queue = [...this.#again.splice(0).sort((a, b) => a.sequence - b.sequence), ...this.#queue.slice(this.#head)];
      this.#head = 0;
    }
    while (this.#unanswered.size < windowSize && this.#head < this.#queue.length) {
      const item = this.#queue[this.#head];
      this.#head += 1;
      if (item) this.#send(item);
    }
    if (this.#head > 1024 || this.#head === this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    if (this.#unanswered.size === 0) this.#onIdle?.();
  }

  #drop(): void {
    this.#dropped += 1;
    this.#report ??= setTimeout(() => {
      this.#report = undefined;
      const count = this.#dropped;
      this.#dropped = 0;
      this.#options.log.warn(
        { subscription: this.#options.id, count },
        `${count} messages were dropped, since the plugin did not keep up`,
      );
      this.#options.notify(count);
    }, reportDropsMs).unref();
  }
}
