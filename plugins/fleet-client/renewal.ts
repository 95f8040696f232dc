// Sends nodes back into provisioning in batches, so that no more than a batch is away from the fleet at any time.

import { setTimeout as sleep } from 'node:timers/promises';

export interface RenewalOptions {
  /** Nodes that may be away at once. */
  readonly batch: number;
  /** Pause between groups. */
  readonly sleepMs: number;
  /** So long a node may be away; then it counts as missing, and its place in the batch stays taken. */
  readonly waitMs: number;
  readonly pollMs?: number;
  readonly signal: AbortSignal;
  /** Sends a group away. @returns why some did not go */
  readonly send: (group: readonly string[]) => Promise<ReadonlyMap<string, string>>;
  /** Which of those that are away are back. */
  readonly back: (away: readonly string[]) => Promise<readonly string[]>;
  readonly onDone?: (identity: string) => void;
}

export interface Renewal {
  readonly renewed: readonly string[];
  /** Those that did not go, with what they said. */
  readonly failed: readonly { readonly identity: string; readonly reason: string }[];
  /** Those that went and were not seen again. */
  readonly missing: readonly string[];
  /** Those that are away still, since it was stopped. */
  readonly away: readonly string[];
  readonly notAsked: readonly string[];
  /** Why it ended before all were asked. */
  readonly stopped?: 'missing' | 'refused' | 'interrupted';
}

const defaultPollMs = 2_000;
/** Sleeping for longer could not be told from being dead. */
const idleMs = 250;

export class Renewer {
  readonly #options: RenewalOptions;
  readonly #waiting: string[];
  readonly #away = new Map<string, number>();
  readonly #renewed: string[] = [];
  readonly #failed: { identity: string; reason: string }[] = [];
  readonly #missing: string[] = [];
  #nextAt = 0;

  constructor(nodes: readonly string[], options: RenewalOptions) {
    this.#options = options;
    this.#waiting = [...nodes];
  }

  /** Ends early where going on would take more nodes away, and when the signal says so; never throws for a node. */
  async run(): Promise<Renewal> {
    const { signal } = this.#options;
    try {
      while (this.#waiting.length > 0 || this.#away.size > 0) {
        signal.throwIfAborted();
        if (this.#isRefused) return this.#outcome('refused');
        if (this.#free <= 0 && this.#away.size === 0) return this.#outcome('missing');
        if (this.#waiting.length > 0 && this.#free > 0 && Date.now() >= this.#nextAt) await this.#sendGroup();
        else if (this.#away.size > 0) await this.#look();
        else await sleep(idleMs, undefined, { signal });
      }
    } catch (error) {
      if (!signal.aborted) throw error;
      return this.#outcome('interrupted');
    }
    return this.#outcome();
  }

  get #free(): number {
    return this.#options.batch - this.#away.size - this.#missing.length;
  }

  /** Where the first group refused as one, so would the others. */
  get #isRefused(): boolean {
    return (
      this.#waiting.length > 0 && this.#failed.length > 0 && this.#renewed.length + this.#away.size + this.#missing.length === 0
    );
  }

  async #sendGroup(): Promise<void> {
    const group = this.#waiting.slice(0, this.#free);
    const failures = await this.#options.send(group);
    this.#waiting.splice(0, group.length);
    for (const identity of group) {
      const reason = failures.get(identity);
      if (reason === undefined) this.#away.set(identity, Date.now());
      else {
        this.#failed.push({ identity, reason });
        this.#options.onDone?.(identity);
      }
    }
    this.#nextAt = Date.now() + this.#options.sleepMs;
  }

  async #look(): Promise<void> {
    const { pollMs = defaultPollMs, signal, back, waitMs, onDone } = this.#options;
    await sleep(pollMs, undefined, { signal });
    for (const identity of await back([...this.#away.keys()])) {
      if (!this.#away.delete(identity)) continue;
      this.#renewed.push(identity);
      onDone?.(identity);
    }
    for (const [identity, since] of this.#away) {
      if (Date.now() - since < waitMs) continue;
      this.#away.delete(identity);
      this.#missing.push(identity);
      onDone?.(identity);
    }
  }

  #outcome(stopped?: NonNullable<Renewal['stopped']>): Renewal {
    return {
      renewed: this.#renewed,
      failed: this.#failed,
      missing: this.#missing,
      away: [...this.#away.keys()],
      notAsked: this.#waiting,
      ...(stopped && { stopped }),
    };
  }
}
