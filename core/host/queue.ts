// Calls that wait for their turn: first come, first served, each with its own deadline and signal.

import { PluginError } from '../protocol/errors.ts';
import type { CallOptions } from '../protocol/peer.ts';

interface Waiter<T> {
  readonly start: (version: T) => void;
  readonly reject: (error: Error) => void;
}

/** @typeParam T what a call is started on when its turn comes */
export class CallQueue<T> {
  readonly #name: string;
  readonly #waiters: Waiter<T>[] = [];

  /** @param name whose queue it is, for messages */
  constructor(name: string) {
    this.#name = name;
  }

  get length(): number {
    return this.#waiters.length;
  }

  /** Waits, then starts. @throws PluginError `DEADLINE` or `CANCELLED` if its turn did not come */
  wait(start: (version: T) => Promise<unknown>, { deadlineMs, signal }: CallOptions): Promise<unknown> {
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const onAbort = () => leave(new PluginError('CANCELLED', 'cancelled while it waited for its turn'));
      const release = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const waiter: Waiter<T> = {
        start: (version) => {
          release();
          start(version).then(resolve, reject);
        },
        reject: (error) => {
          release();
          reject(error);
        },
      };
      const leave = (error: PluginError) => {
        const at = this.#waiters.indexOf(waiter);
        if (at === -1) return;
        this.#waiters.splice(at, 1);
        waiter.reject(error);
      };
      this.#waiters.push(waiter);
      if (deadlineMs !== undefined)
        timer = setTimeout(
          () => leave(new PluginError('DEADLINE', `a call waited too long for its turn in ${this.#name}`)),
          deadlineMs,
        );
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Starts those that wait as long as there is room. */
  admit(version: T, hasRoom: () => boolean): void {
    while (hasRoom()) {
      const waiter = this.#waiters.shift();
      if (!waiter) return;
      waiter.start(version);
    }
  }

  /** Refuses everyone. */
  refuse(error: PluginError): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }
}
