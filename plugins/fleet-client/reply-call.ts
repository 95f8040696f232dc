// A request whose replies are awaited whole, or read as they come by somebody who may be slow.

import type { FleetClient } from './client.ts';
import type { NodeReply, RpcOptions, RpcResult } from './options.ts';
import { callRpc } from './request.ts';

/** Replies that lie ready for a reader; past it, no more are taken until some were read. */
const readAhead = 64;

/**
 * Sends the request and gives each reply to `take`; the next one has to wait for the promise that this may return.
 */
export type Send<Reply, Result> = (take: (reply: Reply) => Promise<void> | undefined, signal: AbortSignal) => Promise<Result>;

/**
 * Nothing is sent before `result()` is called or the replies are iterated, and it is sent once:
 *
 *     for await (const reply of call) console.log(reply.sender);
 *     const { statistics } = await call.result();
 */
export class ReplyCall<Reply, Result> implements AsyncIterable<Reply> {
  readonly #send: Send<Reply, Result>;
  readonly #signal: AbortSignal | undefined;
  readonly #readers = new Set<Reader<Reply>>();
  readonly #end = new AbortController();
  #result: Promise<Result> | undefined;

  constructor(send: Send<Reply, Result>, signal: AbortSignal | undefined) {
    this.#send = send;
    this.#signal = signal;
  }

  /** What it came to, when the last node has answered or the time is up. The same promise each time. @throws what `callRpc` throws */
  result(): Promise<Result> {
    this.#result ??= this.#send(
      (reply) => this.#take(reply),
      this.#signal ? AbortSignal.any([this.#signal, this.#end.signal]) : this.#end.signal,
    );
    return this.#result;
  }

  /**
   * The replies as they come. Whoever reads slowly slows down the taking of messages; what then waits is bounded by
   * `maxWaitingBytes`. Leaving the loop early ends the call. @throws what `callRpc` throws
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Reply, void, undefined> {
    const reader = new Reader<Reply>();
    this.#readers.add(reader);
    let isOver = false;
    const ended = this.result().finally(() => {
      isOver = true;
      reader.end();
    });
    ended.catch(() => undefined);
    try {
      yield* reader.replies();
      await ended;
    } finally {
      this.#readers.delete(reader);
      reader.end();
      if (!isOver) this.#end.abort(new Error('nobody reads the replies any more'));
    }
  }

  #take(reply: Reply): Promise<void> | undefined {
    const full = [...this.#readers].flatMap((reader) => reader.put(reply) ?? []);
    return full.length === 0 ? undefined : Promise.all(full).then(() => undefined);
  }
}

/** One iteration over the replies. */
class Reader<Reply> {
  #ready: Reply[] = [];
  #isEnded = false;
  #wake: () => void = () => undefined;
  #room: (() => void) | undefined;

  /** A promise if there is no room for more, until there is. */
  put(reply: Reply): Promise<void> | undefined {
    if (this.#isEnded) return undefined;
    this.#ready.push(reply);
    this.#wake();
    if (this.#ready.length < readAhead) return undefined;
    return new Promise((resolve) => {
      this.#room = resolve;
    });
  }

  end(): void {
    this.#isEnded = true;
    this.#wake();
    this.#room?.();
  }

  async *replies(): AsyncGenerator<Reply, void, undefined> {
    for (;;) {
      const ready = this.#ready;
      this.#ready = [];
      this.#room?.();
      yield* ready;
      if (this.#ready.length > 0) continue;
      if (this.#isEnded) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** A request whose replies are read as they come; see {@link RpcOptions.keepReplies}. */
export function streamRpc(client: FleetClient, options: RpcOptions): ReplyCall<NodeReply, RpcResult> {
  return new ReplyCall(
    (take, signal) =>
      callRpc(client, {
        ...options,
        signal,
        onReply: (reply, chosen, message) => {
          const taken = [options.onReply?.(reply, chosen, message), chosen ? take(reply) : undefined];
          return taken.some((item) => item instanceof Promise) ? Promise.all(taken) : undefined;
        },
      }),
    options.signal,
  );
}
