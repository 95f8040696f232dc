// Requests to single nodes. One lasting subscription takes all replies, and a table knows who waits for which.

import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { emptyFilter, withAgent } from '../wire/filter.ts';
import { newRequestId, pingPayload, readRpcReply, statusCodes } from '../wire/rpc.ts';
import { broadcastSubject, callerHash, nodeSubject, replySubject } from '../wire/subjects.ts';
import {
  type ReplyFields,
  readSecureReply,
  readTransport,
  requestText,
  secureRequestText,
  transportBytes,
} from '../wire/v1/messages.ts';
import { ProvisionerError } from './errors.ts';

export const connection = 'provisioning';
export const collective = 'provisioning';
const unsigned = 'insecure';
const ttlSeconds = 60;
/** Requests whose replies are looked at after the first, to see two machines of one name. */
const maxSettled = 8_192;
const retryMs = [750, 1_000, 1_500, 2_000, 2_500, 3_000, 3_500, 4_000, 4_500, 5_000];

export interface NodeCall {
  readonly identity: string;
  readonly agent: string;
  readonly action: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly tries: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Throws if nothing may be sent any more; asked right before. */
  readonly guard: () => void;
}

export interface Who {
  readonly identity: string;
  readonly callerid: string;
  readonly insecure: boolean;
}

interface Pending {
  readonly identity: string;
  sent: number;
  replies: number;
  settle: ((reply: ReplyFields) => void) | undefined;
}

export interface RpcEvents {
  /** A node answered a broadcast. */
  readonly onDiscovered: (identity: string) => void;
  /** More machines than one answered to a name. */
  readonly onNamesake: (identity: string) => void;
  readonly onCall: (rpc: string, ms: number, ok: boolean) => void;
}

export class NodeRpc {
  readonly #host: Host;
  readonly #who: Who;
  readonly #events: RpcEvents;
  readonly #pending = new Map<string, Pending>();
  #discovery = '';
  /** Replies that could not be read, or came in another's name. */
  strange = 0;

  constructor(host: Host, who: Who, events: RpcEvents) {
    this.#host = host;
    this.#who = who;
    this.#events = events;
  }

  async start(): Promise<void> {
    const subject = `${collective}.reply.${callerHash(this.#who.callerid)}.>`;
    await this.#host.bus.subscribe({ connection, id: 'replies', subject }, ({ subject: to, payload }) =>
      this.#reply(to, payload),
    );
  }

  /** Asks all nodes that can be enrolled to show themselves. */
  async discover(): Promise<void> {
    const id = newRequestId();
    this.#discovery = id;
    const payload = await this.#seal({ id, agent: 'discovery', filterAgent: 'choria_provision', body: pingPayload });
    await this.#host.bus.publish({ connection, subject: broadcastSubject(collective, 'discovery'), payload });
  }

  /** The data of a good reply. @throws ProvisionerError `PROVISIONER_SILENT`, `PROVISIONER_NODE`; what the guard throws; the signal's reason */
  async call(call: NodeCall): Promise<unknown> {
    let id = newRequestId();
    for (let attempt = 1; ; attempt += 1) {
      const begun = performance.now();
      try {
        const data = await this.#try(id, call);
        this.#events.onCall(`${call.agent}#${call.action}`, performance.now() - begun, true);
        return data;
      } catch (error) {
        if (!(error instanceof ProvisionerError) || error.code === 'PROVISIONER_LOST' || call.signal.aborted) throw error;
        this.#events.onCall(`${call.agent}#${call.action}`, performance.now() - begun, false);
        if (attempt >= call.tries) throw error;
        // What was not answered is sent again as the same request, so that it is not done twice; what failed is asked anew.
        if (error.code === 'PROVISIONER_NODE') id = newRequestId();
        await pause((retryMs[attempt - 1] ?? 5_000) * (0.5 + Math.random()), call.signal);
      }
    }
  }

  async #try(id: string, call: NodeCall): Promise<unknown> {
    const { identity, agent, action, data, timeoutMs, signal, guard } = call;
    const pending: Pending = this.#pending.get(id) ?? { identity, sent: 0, replies: 0, settle: undefined };
    const reply = new Promise<ReplyFields>((resolve) => {
      pending.settle = resolve;
    });
    this.#pending.set(id, pending);
    const payload = await this.#seal({ id, agent, filterAgent: agent, body: JSON.stringify({ agent, action, data }) });
    // What waits in the client for a broker would be sent when nobody knows any more whether it should.
    if (!(await this.#host.bus.info(connection)).connected)
      throw new ProvisionerError('PROVISIONER_SILENT', `${identity} can not be asked, since no provisioning broker is reached`);
    guard();
    pending.sent += 1;
    await this.#host.bus.publish({ connection, subject: nodeSubject(collective, identity), payload });
    try {
      const what = `${agent}#${action}`;
      return readData(
        what,
        await within(reply, timeoutMs, signal, `${identity} did not answer ${what} within ${timeoutMs / 1000} s`),
      );
    } finally {
      pending.settle = undefined;
      this.#trim();
    }
  }

  async #seal(message: { id: string; agent: string; filterAgent: string; body: string }): Promise<Uint8Array> {
    const { identity, callerid, insecure } = this.#who;
    const { id, agent, filterAgent, body } = message;
    const request = {
      id,
      agent,
      collective,
      ttl: ttlSeconds,
      filter: withAgent(emptyFilter, filterAgent),
      body,
      replyTo: replySubject(collective, callerid, id),
      sender: identity,
    };
    if (insecure) {
      const time = Math.floor(Date.now() / 1000);
      const text = secureRequestText(requestText({ ...request, caller: callerid, time }), unsigned, unsigned);
      return transportBytes(text, { replyTo: request.replyTo, sender: identity, seenBy: [] });
    }
    const signed = await this.#host.plugins.call('security', 'x509', 'security/sign', { requests: [request], role: 'server' });
    const [first] = (signed as { messages: { payload: Uint8Array }[] }).messages;
    if (!first) throw new PluginError('CONTRACT', 'the security plugin signed nothing');
    return first.payload;
  }

  #reply(subject: string, payload: Uint8Array): void {
    const id = subject.slice(subject.lastIndexOf('.') + 1);
    // Another provisioner of this name has replies of its own here.
    if (id !== this.#discovery && !this.#pending.has(id)) return;
    try {
      const { data, headers } = readTransport(payload);
      if (id === this.#discovery) this.#events.onDiscovered(headers.sender);
      else this.#settle(id, readSecureReply(data));
    } catch {
      this.strange += 1;
    }
  }

  #settle(id: string, reply: ReplyFields): void {
    const pending = this.#pending.get(id);
    if (!pending || reply.id !== id || reply.sender !== pending.identity) {
      this.strange += 1;
      return;
    }
    pending.replies += 1;
    if (pending.settle) pending.settle(reply);
    if (pending.replies > pending.sent) this.#events.onNamesake(pending.identity);
    pending.settle = undefined;
  }

  /** Forgets the oldest of those that nobody waits for. */
  #trim(): void {
    if (this.#pending.size <= maxSettled) return;
    for (const [id, { settle }] of this.#pending) {
      if (settle) continue;
      this.#pending.delete(id);
      if (this.#pending.size <= maxSettled) return;
    }
  }
}

function readData(what: string, { sender, body }: ReplyFields): unknown {
  const { statuscode, statusmsg, data } = readReply(what, sender, body);
  if (statuscode === statusCodes.ok) return data;
  throw new ProvisionerError(
    'PROVISIONER_NODE',
    `${sender} answered ${what} with status ${statuscode}: ${statusmsg.slice(0, 200)}`,
  );
}

function readReply(what: string, sender: string, body: string) {
  try {
    return readRpcReply(body);
  } catch (error) {
    throw new ProvisionerError(
      'PROVISIONER_NODE',
      `${sender} answered ${what} with what can not be read: ${(error as Error).message}`,
    );
  }
}

/** @throws ProvisionerError `PROVISIONER_SILENT`; the signal's reason */
async function within<T>(outcome: Promise<T>, ms: number, signal: AbortSignal, silence: string): Promise<T> {
  signal.throwIfAborted();
  let end: () => void = () => undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const timer = setTimeout(() => reject(new ProvisionerError('PROVISIONER_SILENT', silence)), ms);
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
  });
  try {
    return await Promise.race([outcome, late]);
  } finally {
    end();
  }
}

/** @throws the signal's reason */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
