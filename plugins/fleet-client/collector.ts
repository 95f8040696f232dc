// Gathers the replies to one request: what arrives in one turn of the event loop is read in one call.

import type { BusMessage, Host } from '../../core/sdk/typescript/index.ts';

/** A reply that belongs to the request and whose hash is right. */
export interface Received {
  readonly id: string;
  readonly sender: string;
  readonly agent: string;
  /** Unix seconds. */
  readonly time: number;
  readonly body: string;
}

type Unsealed =
  | { readonly ok: true; readonly reply: Received }
  | { readonly ok: false; readonly code: string; readonly reason: string };

export class Collector {
  /** Messages that could not be read, or belong to another request. */
  unusable = 0;
  readonly #host: Host;
  readonly #id: string;
  readonly #subject: string;
  readonly #onReply: (reply: Received) => void;
  #gathered: BusMessage[] = [];
  #timer: NodeJS.Timeout | undefined;
  #end: () => void = () => undefined;
  readonly #ended = new Promise<void>((resolve) => {
    this.#end = resolve;
  });

  constructor(host: Host, id: string, subject: string, onReply: (reply: Received) => void) {
    this.#host = host;
    this.#id = id;
    this.#subject = subject;
    this.#onReply = onReply;
  }

  async open(): Promise<void> {
    await this.#host.bus.subscribe({ connection: 'client', id: `replies:${this.#id}`, subject: this.#subject }, (message) =>
      this.#accept(message),
    );
  }

  /** Ends so long from now, instead of when it was to end before. */
  endAfter(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.end(), ms);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#end();
  }

  /** Resolves when it is over. @throws what the signal was aborted with */
  async ended(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const onAbort = () => this.end();
    signal?.addEventListener('abort', onAbort, { once: true });
    await this.#ended;
    signal?.removeEventListener('abort', onAbort);
    signal?.throwIfAborted();
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#host.bus.unsubscribe(`replies:${this.#id}`);
  }

  #accept(message: BusMessage): void {
    this.#gathered.push(message);
    if (this.#gathered.length === 1) setImmediate(() => void this.#readGathered());
  }

  async #readGathered(): Promise<void> {
    const messages = this.#gathered;
    this.#gathered = [];
    try {
      const { results } = (await this.#host.plugins.call('security', 'x509', 'security/unseal', {
        messages: messages.map(({ payload }) => ({ payload })),
      })) as { results: Unsealed[] };
      for (const result of results) {
        if (result.ok && result.reply.id === this.#id) this.#onReply(result.reply);
        else this.#refuse(result.ok ? `it answers the request ${result.reply.id}` : result.reason);
      }
    } catch (error) {
      this.#host.log.error(`${messages.length} replies could not be read: ${(error as Error).message}`);
    }
  }

  #refuse(reason: string): void {
    this.unusable += 1;
    this.#host.log.warn(`a reply was passed over: ${reason}`);
  }
}
