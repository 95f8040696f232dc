// One side of a conversation: requests out, requests in, deadlines, cancel, progress. Knows no bytes (a carrier does) and
// no method (its handler does).

import { fromErrorBody, PluginError, toErrorBody } from './errors.ts';
import {
  classify,
  type Id,
  type Message,
  type Meta,
  maxDepth,
  notifications,
  type Params,
  type RequestMessage,
  type ResponseMessage,
} from './messages.ts';

/** How often calls are checked for their deadline. A deadline is kept within this many milliseconds. */
const sweepMs = 20;
/** Ids of calls that were given up, remembered so that a late answer is told from a second one. */
const maxGivenUp = 1024;
const defaultMaxIncoming = 4096;

/** Carries messages to the other side and back. */
export interface Carrier {
  /** Sends one message; returns a promise to wait for before sending more, if the way is full. Throws `TOO_LARGE`. */
  send(message: Message): Promise<void> | undefined;
  /** Starts delivery. Called once. */
  start(receiver: Receiver): void;
  /** Lets go of the carrier's ends. The receiver is not told. */
  close(): void;
}

export interface Receiver {
  message(message: unknown): void;
  /** Something arrived that is no message: the first characters of it, and why. */
  violation(what: Unreadable, start: string): void;
  closed(reason: Error): void;
}

export interface PeerOptions {
  readonly carrier: Carrier;
  /** Answers requests of the other side. May return a value or a promise. */
  readonly onRequest: (method: string, params: Params, call: IncomingCall) => unknown;
  readonly onNotification?: (method: string, params: Params) => void;
  /** The other side broke the protocol; told in one sentence. */
  readonly onViolation?: (what: string) => void;
  readonly onClosed?: (reason: Error) => void;
  /** Requests of the other side that may be unanswered at once; more get `BUSY`. Default 4096. */
  readonly maxIncoming?: number;
  readonly now?: () => number;
}

export interface CallOptions {
  readonly deadlineMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((value: unknown) => void) | undefined;
  readonly trace?: string | undefined;
  readonly depth?: number | undefined;
  readonly plugin?: string | undefined;
}

/** What may be wrong with a line before it can be a message. */
export type Unreadable = 'PARSE' | 'ENCODING' | 'TOO_LARGE';

interface Pending {
  readonly method: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly deadlineAt: number;
  readonly onProgress: ((value: unknown) => void) | undefined;
  readonly release: (() => void) | undefined;
}

/** A request of the other side while it is being answered. */
export class IncomingCall {
  readonly id: Id;
  readonly method: string;
  readonly meta: Meta;
  /** When the time given for this call runs out, in the peer's clock; Infinity if none was given. */
  readonly deadlineAt: number;
  readonly #peer: Peer;
  #controller: AbortController | undefined;
  #cancelled: PluginError | undefined;

  constructor(peer: Peer, message: RequestMessage, now: number) {
    this.#peer = peer;
    this.id = message.id;
    this.method = message.method;
    this.meta = message._meta ?? {};
    this.deadlineAt = this.meta.deadlineMs === undefined ? Number.POSITIVE_INFINITY : now + this.meta.deadlineMs;
  }

  /** Aborted when the caller cancels or the connection ends. Made on first use, since most calls never look. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#cancelled) this.#controller.abort(this.#cancelled);
    return this.#controller.signal;
  }

  get cancelled(): boolean {
    return this.#cancelled !== undefined;
  }

  /** Sends a part of the answer. */
  progress(value: unknown): Promise<void> | undefined {
    return this.#peer.notify(notifications.progress, { id: this.id, value });
  }

  abort(reason: PluginError): void {
    this.#cancelled ??= reason;
    this.#controller?.abort(reason);
  }
}

export class Peer {
  readonly #carrier: Carrier;
  readonly #options: PeerOptions;
  readonly #now: () => number;
  readonly #pending = new Map<number, Pending>();
  readonly #running = new Map<Id, IncomingCall>();
  readonly #givenUp = new Set<number>();
  #lastId = 0;
  #sweeper: NodeJS.Timeout | undefined;
  #closed: Error | undefined;
  /** Answers that came after their call was given up. */
  lateAnswers = 0;

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#carrier = options.carrier;
    this.#now = options.now ?? Date.now;
    this.#carrier.start({
      message: (message) => this.#receive(message),
      violation: (what, start) => this.#unreadable(what, start),
      closed: (reason) => this.close(reason),
    });
  }

  /** Calls that wait for an answer of the other side. */
  get waiting(): number {
    return this.#pending.size;
  }

  /** Requests of the other side that are being answered. */
  get serving(): number {
    return this.#running.size;
  }

  get closed(): Error | undefined {
    return this.#closed;
  }

  /**
   * Sends a request and resolves with its result.
   * @throws PluginError what the other side answered, or `DEADLINE`, `CANCELLED`, `GONE`, `TOO_LARGE`
   */
  call(method: string, params: Params, options: CallOptions = {}): Promise<unknown> {
    if (this.#closed) return Promise.reject(gone(method, this.#closed));
    const { signal, deadlineMs } = options;
    if (signal?.aborted) return Promise.reject(cancelled(method, signal.reason));
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      let release: (() => void) | undefined;
      if (signal) {
        const onAbort = () => this.#giveUp(id, cancelled(method, signal.reason));
        signal.addEventListener('abort', onAbort, { once: true });
        release = () => signal.removeEventListener('abort', onAbort);
      }
      const deadlineAt = deadlineMs === undefined ? Number.POSITIVE_INFINITY : this.#now() + deadlineMs;
      this.#pending.set(id, { method, resolve, reject, deadlineAt, onProgress: options.onProgress, release });
      if (deadlineMs !== undefined) this.#watchDeadlines();
      try {
        this.#carrier.send({ jsonrpc: '2.0', id, method, params, _meta: metaOf(options) });
      } catch (error) {
        this.#settle(id)?.reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }

  /** Sends a notification; returns a promise to wait for before sending more, if the way is full. */
  notify(method: string, params: Params): Promise<void> | undefined {
    if (this.#closed) return undefined;
    return this.#carrier.send({ jsonrpc: '2.0', method, params });
  }

  /** Ends the conversation: everything that waits is rejected, everything that runs is aborted. */
  close(reason: Error): void {
    if (this.#closed) return;
    this.#closed = reason;
    clearInterval(this.#sweeper);
    this.#carrier.close();
    for (const id of [...this.#pending.keys()]) {
      const pending = this.#settle(id);
      pending?.reject(gone(pending.method, reason));
    }
    for (const call of this.#running.values()) call.abort(new PluginError('GONE', reason.message, { cause: reason }));
    this.#running.clear();
    this.#options.onClosed?.(reason);
  }

  #receive(message: unknown): void {
    if (this.#closed) return;
    switch (classify(message)) {
      case 'request':
        this.#serve(message as RequestMessage);
        return;
      case 'response':
        this.#answered(message as ResponseMessage);
        return;
      case 'notification':
        this.#notified(message as RequestMessage);
        return;
      default:
        this.#unreadable('INVALID', safeText(message));
    }
  }

  #serve(message: RequestMessage): void {
    const { id, method } = message;
    if (this.#running.has(id)) {
      this.#violation(`sent request id ${id} again before it was answered`);
      return;
    }
    if (this.#running.size >= (this.#options.maxIncoming ?? defaultMaxIncoming)) {
      this.#respond({
        jsonrpc: '2.0',
        id,
        error: toErrorBody(new PluginError('BUSY', 'too many requests are unanswered', { data: { retryAfterMs: 100 } })),
      });
      return;
    }
    const call = new IncomingCall(this, message, this.#now());
    if ((call.meta.depth ?? 0) > maxDepth) {
      this.#respond({
        jsonrpc: '2.0',
        id,
        error: toErrorBody(new PluginError('DEPTH', `calls are nested deeper than ${maxDepth}; does ${method} call itself?`)),
      });
      return;
    }
    let outcome: unknown;
    try {
      outcome = this.#options.onRequest(method, message.params ?? {}, call);
    } catch (error) {
      this.#respond({ jsonrpc: '2.0', id, error: toErrorBody(error) });
      return;
    }
    if (!isPromise(outcome)) {
      this.#respond({ jsonrpc: '2.0', id, result: outcome ?? {} });
      return;
    }
    this.#running.set(id, call);
    outcome.then(
      (result) => this.#finish(call, { jsonrpc: '2.0', id, result: result ?? {} }),
      (error) => this.#finish(call, { jsonrpc: '2.0', id, error: toErrorBody(error) }),
    );
  }

  #finish(call: IncomingCall, response: ResponseMessage): void {
    if (!this.#running.delete(call.id)) return;
    this.#respond(response);
  }

  #respond(response: ResponseMessage): void {
    if (this.#closed) return;
    try {
      this.#carrier.send(response);
    } catch (error) {
      this.#carrier.send({ jsonrpc: '2.0', id: response.id, error: toErrorBody(error) });
    }
  }

  #answered(message: ResponseMessage): void {
    const id = message.id;
    if (id === null) {
      this.#violation(`could not read a message of ours: ${message.error?.message ?? 'no reason given'}`);
      return;
    }
    const pending = typeof id === 'number' ? this.#settle(id) : undefined;
    if (!pending) {
      this.#stray(id);
      return;
    }
    if (message.error) pending.reject(fromErrorBody(message.error));
    else pending.resolve(message.result);
  }

  #stray(id: Id): void {
    if (typeof id === 'number' && this.#givenUp.delete(id)) this.lateAnswers += 1;
    else if (typeof id === 'number' && id > 0 && id <= this.#lastId) this.#violation(`answered request ${id} twice`);
    else this.#violation(`answered request ${JSON.stringify(id)}, which was never sent`);
  }

  #notified({ method, params }: { method: string; params: Params }): void {
    if (method === notifications.cancel) {
      this.#running.get(params?.id as Id)?.abort(cancelled('the request', 'the caller cancelled'));
      return;
    }
    if (method !== notifications.progress) {
      this.#options.onNotification?.(method, params ?? {});
      return;
    }
    const onProgress = this.#pending.get(params?.id as number)?.onProgress;
    try {
      onProgress?.(params.value);
    } catch (error) {
      this.#giveUp(params.id as number, error instanceof Error ? error : new Error(String(error)));
    }
  }

  #unreadable(what: Unreadable | 'INVALID', start: string): void {
    const reason = {
      PARSE: 'is not JSON',
      ENCODING: 'is not UTF-8',
      INVALID: 'is no request, response or notification',
      TOO_LARGE: 'is longer than was agreed',
    }[what];
    const said = start.slice(0, 80);
    this.#violation(`this line ${reason}: ${said}`);
    const code = what === 'ENCODING' ? 'PARSE' : what;
    this.#respond({ jsonrpc: '2.0', id: null, error: toErrorBody(new PluginError(code, `this line ${reason}: ${said}`)) });
    this.#failAnswered(said, new PluginError(what === 'TOO_LARGE' ? what : 'CONTRACT', `its answer ${reason}: ${said}`));
  }

  /** As far as the start of a line shows which request it was to answer, its caller need not wait for the deadline. */
  #failAnswered(start: string, error: PluginError): void {
    const id = start.includes('"method"') ? undefined : /"id"\s*:\s*(\d+)/.exec(start)?.[1];
    if (id !== undefined) this.#settle(Number(id))?.reject(error);
  }

  #violation(what: string): void {
    this.#options.onViolation?.(what);
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (!pending) return undefined;
    this.#pending.delete(id);
    pending.release?.();
    return pending;
  }

  #giveUp(id: number, error: Error): void {
    const pending = this.#settle(id);
    if (!pending) return;
    if (this.#givenUp.size >= maxGivenUp)
      for (const oldest of this.#givenUp.values()) {
        this.#givenUp.delete(oldest);
        break;
      }
    this.#givenUp.add(id);
    pending.reject(error);
    this.notify(notifications.cancel, { id });
  }

  #watchDeadlines(): void {
    if (this.#sweeper) return;
    this.#sweeper = setInterval(() => this.#sweep(), sweepMs);
    this.#sweeper.unref();
  }

  #sweep(): void {
    if (this.#pending.size === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
      return;
    }
    const now = this.#now();
    for (const [id, pending] of this.#pending) {
      if (pending.deadlineAt <= now) this.#giveUp(id, new PluginError('DEADLINE', `${pending.method} was not answered in time`));
    }
  }
}

function metaOf({ deadlineMs, trace, depth, plugin }: CallOptions): Meta {
  const meta: { -readonly [K in keyof Meta]: Meta[K] } = {};
  if (deadlineMs !== undefined) meta.deadlineMs = deadlineMs;
  if (trace !== undefined) meta.trace = trace;
  if (depth !== undefined) meta.depth = depth;
  if (plugin !== undefined) meta.plugin = plugin;
  return meta;
}

function gone(method: string, reason: Error): PluginError {
  return new PluginError('GONE', `${method} was not answered: ${reason.message}`, { cause: reason });
}

function cancelled(method: string, reason: unknown): PluginError {
  const why = reason instanceof Error ? reason.message : typeof reason === 'string' ? reason : 'the caller cancelled';
  return new PluginError('CANCELLED', `${method} was cancelled: ${why}`, { cause: reason });
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

function safeText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
