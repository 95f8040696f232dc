// Gathers the replies to one request. They are read in the order in which they came, a batch in one call, and no faster than
// whoever is told of them takes them; what waits meanwhile is bounded.

import { setImmediate as turn } from 'node:timers/promises';
import { type BusMessage, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { isNodeName } from '../wire/subjects.ts';

/** A reply that belongs to the request and whose hash is right. */
export interface Received {
  readonly id: string;
  readonly sender: string;
  readonly agent: string;
  /** Unix seconds. */
  readonly time: number;
  readonly body: string;
}

export class CollectError extends Error {
  override readonly name = 'CollectError';
  readonly code = 'TOO_SLOW';
}

/** Told of a reply and of when it came (`performance.now()`); a promise holds the next one back. */
export type ReplyListener = (reply: Received, at: number) => Promise<void> | undefined;

export interface CollectorOptions {
  readonly host: Host;
  /** Name of the security plugin. */
  readonly security: string;
  /** Of the request. */
  readonly id: string;
  /** Where the replies go. */
  readonly subject: string;
  readonly onReply: ReplyListener;
  /** What may wait to be read. Default: 128 MiB. */
  readonly maxWaitingBytes?: number;
}

type Unsealed =
  | { readonly ok: true; readonly reply: Received }
  | { readonly ok: false; readonly code: string; readonly reason: string };

export interface WaitOptions {
  readonly timeoutMs: number;
  /** Ends it also when nothing has come for so long since the last reply; before the first, nothing but the time does. */
  readonly windowMs?: number;
  readonly isDone: () => boolean;
  readonly signal: AbortSignal | undefined;
}

interface Waiting {
  readonly payload: Uint8Array;
  readonly at: number;
}

const defaultMaxWaitingBytes = 128 * 1024 * 1024;
const batchSize = 128;
const maxRefusalsTold = 5;
const maxReason = 200;

export class Collector {
  /** Messages that could not be read, or belong to another request. */
  unusable = 0;
  readonly #options: CollectorOptions;
  readonly #maxBytes: number;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #arrived = 0;
  #read = 0;
  #reading = false;
  #opened = false;
  #closed = false;
  #lastAt: number | undefined;
  #failure: Error | undefined;
  /** Whether what `wait` waits for is there; asked when replies were read. */
  #isReached: () => boolean = () => false;
  /** Ends a wait. */
  #wake: () => void = () => undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#maxBytes = options.maxWaitingBytes ?? defaultMaxWaitingBytes;
  }

  async open(): Promise<void> {
    const { host, id, subject } = this.#options;
    await host.bus.subscribe(
      { connection: 'client', id: `replies:${id}`, subject },
      (message) => this.#accept(message),
      (count) => this.#fail(new CollectError(`${count} replies were lost, since they came faster than this machine takes them`)),
    );
    this.#opened = true;
  }

  /**
   * Waits until `isDone` or the time is up, and until what came by then was read.
   * @throws CollectError if replies had to be given up, what a listener throws, what the signal was aborted with
   */
  async wait({ timeoutMs, windowMs = Number.POSITIVE_INFINITY, isDone, signal }: WaitOptions): Promise<void> {
    signal?.throwIfAborted();
    const until = performance.now() + timeoutMs;
    const left = () => Math.min(until, (this.#lastAt ?? Number.POSITIVE_INFINITY) + windowMs) - performance.now();
    const onAbort = () => this.#wake();
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#isReached = isDone;
    try {
      while (!isDone()) {
        // What the socket holds by now came in time: the event loop has to turn once for it to be heard.
        if (left() <= 0) await turn();
        if (left() <= 0) break;
        // The first reply opens the window, and wakes nobody.
        await this.#sleep(Math.min(left(), windowMs), signal);
      }
      const last = this.#arrived;
      this.#isReached = () => this.#read >= last;
      while (this.#read < last) await this.#sleep(Number.POSITIVE_INFINITY, signal);
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting = [];
    if (this.#opened) await this.#options.host.bus.unsubscribe(`replies:${this.#options.id}`);
  }

  /** Until what is waited for is there, or so long. @throws what went wrong */
  async #sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    if (!this.#failure && !signal?.aborted)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (Number.isFinite(ms)) timer = setTimeout(resolve, ms);
      });
    clearTimeout(timer);
    signal?.throwIfAborted();
    if (this.#failure) throw this.#failure;
  }

  #accept({ payload }: BusMessage): void {
    if (this.#closed || this.#failure) return;
    this.#arrived += 1;
    const at = performance.now();
    this.#lastAt = at;
    this.#waiting.push({ payload, at });
    this.#waitingBytes += payload.length;
    if (this.#waitingBytes > this.#maxBytes) {
      this.#fail(
        new CollectError(
          `replies are taken too slowly: ${this.#waiting.length} with ${this.#waitingBytes} bytes wait, at most ${this.#maxBytes} may; take them faster, or ask in batches`,
        ),
      );
      return;
    }
    if (this.#reading) return;
    this.#reading = true;
    // What arrives in one turn of the event loop is read in one call.
    setImmediate(() => void this.#readWaiting());
  }

  async #readWaiting(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const taken = this.#waiting;
        this.#waiting = [];
        for (let first = 0; first < taken.length; first += batchSize) {
          if (first > 0) await turn();
          await this.#readBatch(taken.slice(first, first + batchSize));
        }
      }
    } catch (error) {
      this.#fail(error as Error);
    } finally {
      this.#reading = false;
    }
  }

  async #readBatch(batch: readonly Waiting[]): Promise<void> {
    const { host, security, id, onReply } = this.#options;
    const { results } = (await host.plugins.call('security', security, 'security/unseal', {
      messages: batch.map(({ payload }) => ({ payload })),
    })) as { results: Unsealed[] };
    for (const [index, { payload, at }] of batch.entries()) {
      if (this.#closed || this.#failure) return;
      const result = results[index];
      if (!result) throw new PluginError('CONTRACT', `the security plugin opened ${results.length} of ${batch.length} replies`);
      if (!result.ok) this.#refuse(result.reason);
      else if (result.reply.id !== id) this.#refuse(`it answers the request ${result.reply.id}`);
      else if (!isNodeName(result.reply.sender))
        this.#refuse(`its sender ${JSON.stringify(result.reply.sender.slice(0, 60))} is no name that a node can have`);
      else {
        const taken = onReply(result.reply, at);
        if (taken) await taken;
      }
      this.#read += 1;
      this.#waitingBytes -= payload.length;
    }
    if (this.#isReached()) this.#wake();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#waiting = [];
    this.#wake();
  }

  /** Anybody may send these, so they must not fill the log. */
  #refuse(reason: string): void {
    this.unusable += 1;
    if (this.unusable > maxRefusalsTold) return;
    const others = this.unusable === maxRefusalsTold ? '; others are counted only' : '';
    this.#options.host.log.warn(`a reply was passed over: ${reason.slice(0, maxReason)}${others}`);
  }
}
