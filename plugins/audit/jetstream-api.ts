// What is needed of JetStream over the bus: store a message and hear that it is stored, make a stream, read one from its start.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../../core/sdk/typescript/index.ts';
import { connection } from './connect.ts';
import { AuditError } from './section.ts';

/** When what was not answered is sent again. */
const againMs = 1_000;
const requestMs = 5_000;

interface Pending {
  readonly settle: (answer: Answer) => void;
}

interface Answer {
  readonly error?: { readonly code?: number; readonly err_code?: number; readonly description?: string };
  readonly stream?: string;
  readonly message?: { readonly seq?: number; readonly data?: string };
}

const noMessage = 10_037;
const noStream = 10_059;

export class JetStream {
  readonly #host: Host;
  readonly #mostWaiting: number;
  readonly #inbox = `_INBOX.${randomUUID().replaceAll('-', '')}`;
  readonly #pending = new Map<string, Pending>();
  readonly #ending = new AbortController();
  #waiting = 0;
  #next = 0;
  #said = '';

  constructor(host: Host, mostWaiting = 1) {
    this.#host = host;
    this.#mostWaiting = mostWaiting;
  }

  async start(): Promise<void> {
    await this.#host.bus.subscribe(
      { connection, id: `acks:${this.#inbox}`, subject: `${this.#inbox}.*` },
      ({ subject, payload }) => {
        this.#pending.get(subject)?.settle(readAnswer(payload));
      },
    );
  }

  stop(): void {
    this.#ending.abort(new AuditError('the auditor stops'));
  }

  /** Resolves when it is stored. @throws AuditError if it is not in time; it is tried further */
  async publish(subject: string, payload: Uint8Array, about: { readonly id: string; readonly timeoutMs: number }): Promise<void> {
    if (this.#waiting >= this.#mostWaiting)
      throw new AuditError(`${this.#waiting} records wait for the broker already; no more are taken`);
    this.#waiting += 1;
    const stored = this.#untilStored(subject, payload, about.id).finally(() => {
      this.#waiting -= 1;
    });
    stored.catch(() => undefined);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const why = () => new AuditError(`the broker did not store it in time${this.#said === '' ? '' : `: ${this.#said}`}`);
      timer = setTimeout(() => reject(why()), about.timeoutMs);
    });
    await Promise.race([stored, late]).finally(() => clearTimeout(timer));
  }

  /** Makes the stream, as soon as there is a broker, unless it is there. */
  ensureStream(name: string, subject: string, replicas: number): void {
    const config = {
      name,
      subjects: [subject],
      storage: 'file',
      retention: 'limits',
      num_replicas: replicas,
      duplicate_window: 120e9,
    };
    void this.#ensure(name, config).catch(() => undefined);
  }

  /** The next message of a subject from a number on; undefined where there is none. @throws AuditError */
  async read(stream: string, from: number, subject: string): Promise<{ seq: number; data: string } | undefined> {
    const answer = await this.request(`$JS.API.STREAM.MSG.GET.${stream}`, { seq: from, next_by_subj: subject });
    if (answer.error?.err_code === noMessage) return undefined;
    if (answer.error)
      throw new AuditError(`the stream ${stream} can not be read: ${answer.error.description ?? 'no reason given'}`);
    const { seq = from, data = '' } = answer.message ?? {};
    return { seq, data: Buffer.from(data, 'base64').toString('utf8') };
  }

  /** @throws AuditError without an answer in time */
  async request(subject: string, body: object, timeoutMs = requestMs): Promise<Answer> {
    const answer = await this.#ask(subject, Buffer.from(JSON.stringify(body)), timeoutMs);
    if (answer) return answer;
    throw new AuditError(`the broker did not answer ${subject}; it may have no JetStream, or not for this user`);
  }

  async #ensure(name: string, config: object): Promise<void> {
    while (!this.#ending.signal.aborted) {
      const there = await this.#ask(`$JS.API.STREAM.INFO.${name}`, Buffer.from('{}'), againMs);
      if (there && !there.error) return;
      if (there?.error?.err_code === noStream) {
        const made = await this.#ask(`$JS.API.STREAM.CREATE.${name}`, Buffer.from(JSON.stringify(config)), requestMs);
        if (made && !made.error) return;
        if (made?.error) this.#say(`the stream ${name} can not be made: ${made.error.description ?? 'no reason given'}`);
      }
      await pause(againMs, this.#ending.signal);
    }
  }

  async #untilStored(subject: string, payload: Uint8Array, id: string): Promise<void> {
    const headers = { 'Nats-Msg-Id': [id] };
    for (;;) {
      this.#ending.signal.throwIfAborted();
      const answer = await this.#ask(subject, payload, againMs, headers);
      if (answer && !answer.error && answer.stream !== undefined) {
        this.#said = '';
        return;
      }
      this.#say(answer?.error?.description ?? `nobody stores ${subject}`);
      if (answer) await pause(againMs, this.#ending.signal);
    }
  }

  /** Undefined without an answer in time, or while there is no broker. */
  async #ask(
    subject: string,
    payload: Uint8Array,
    timeoutMs: number,
    headers?: Readonly<Record<string, readonly string[]>>,
  ): Promise<Answer | undefined> {
    this.#next += 1;
    const reply = `${this.#inbox}.${this.#next}`;
    let timer: NodeJS.Timeout | undefined;
    const answered = new Promise<Answer | undefined>((resolve) => {
      this.#pending.set(reply, { settle: resolve });
      timer = setTimeout(() => resolve(undefined), timeoutMs);
    });
    try {
      if ((await this.#host.bus.info(connection)).connected)
        await this.#host.bus.publish({ connection, subject, payload, reply, ...(headers && { headers }) });
      return await answered;
    } catch (error) {
      this.#say((error as Error).message);
      return await answered;
    } finally {
      clearTimeout(timer);
      this.#pending.delete(reply);
    }
  }

  #say(problem: string): void {
    if (problem !== this.#said) this.#host.log.warn(`the stream of records: ${problem}; trying again`);
    this.#said = problem;
  }
}

/** An empty answer is the broker's that nobody is there. */
function readAnswer(payload: Uint8Array): Answer {
  if (payload.length === 0) return { error: { description: 'nobody answers there; is there a stream for it?' } };
  try {
    return JSON.parse(Buffer.from(payload).toString('utf8')) as Answer;
  } catch {
    return { error: { description: 'the broker answered with what is not JSON' } };
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
