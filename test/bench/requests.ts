// Requests that are signed beforehand, so that the client's own cost stays out of what is measured.

import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from 'nats';
import type { Fleet } from '../support/fleet.ts';
import { type Crafted, Crafter, type RequestPlan } from '../support/messages.ts';

const inFlight = 256;
const replies = 'mcollective.reply.bench';
/** Time for the last replies of a steady stream. */
const lastRepliesMs = 2_000;

export class Load {
  readonly #nats: NatsConnection;
  readonly #crafter: Crafter;

  private constructor(nats: NatsConnection, crafter: Crafter) {
    this.#nats = nats;
    this.#crafter = crafter;
  }

  static async open(fleet: Fleet): Promise<Load> {
    return new Load(await fleet.connection(), await Crafter.of(fleet.authority, 'operator.mcollective'));
  }

  /** Each has a subject of its own for its reply, so that it can be told which one was answered. */
  sign(count: number, plan: Pick<RequestPlan, 'agent' | 'action' | 'data'> = {}): Crafted[] {
    return Array.from({ length: count }, (_, index) => this.#crafter.request({ ...plan, replyTo: `${replies}.${index}` }));
  }

  /** Sends them, at most so many unanswered; requests a second until the last reply. @throws Error if replies are missing */
  async send(requests: readonly Crafted[], identity: string, window = inFlight): Promise<number> {
    return (await this.measure(requests, identity, window)).rate;
  }

  /** The same, with the milliseconds that each request took. */
  async measure(requests: readonly Crafted[], identity: string, window = inFlight): Promise<{ rate: number; ms: number[] }> {
    const ms: number[] = [];
    const sentAt = new Float64Array(requests.length);
    let sent = 0;
    const publish = () => {
      const request = requests[sent];
      if (!request) return;
      sentAt[sent] = performance.now();
      sent += 1;
      this.#nats.publish(`mcollective.node.${identity}`, request.payload);
    };
    const started = performance.now();
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${ms.length} of ${requests.length} requests were answered`)), 60_000);
      const subscription = this.#nats.subscribe(`${replies}.*`, {
        callback: (_error, { subject }) => {
          ms.push(performance.now() - (sentAt[Number(subject.slice(replies.length + 1))] ?? 0));
          publish();
          if (ms.length < requests.length) return;
          clearTimeout(timer);
          subscription.unsubscribe();
          resolve();
        },
      });
      for (let count = 0; count < window; count += 1) publish();
    });
    return { rate: requests.length / ((performance.now() - started) / 1000), ms };
  }

  /** Sends one request every so many milliseconds, whether others were answered or not, until the signal ends it. */
  async pace(
    plan: Pick<RequestPlan, 'agent' | 'action'>,
    identity: string,
    everyMs: number,
    options: PaceOptions,
  ): Promise<Paced[]> {
    const paced: Paced[] = [];
    const subscription = this.#nats.subscribe(`${replies}.*`, {
      callback: (_error, { subject, data }) => {
        const request = paced[Number(subject.slice(replies.length + 1))];
        if (!request) return;
        request.ms = performance.now() - request.at;
        options.onReply(Buffer.from(data).toString());
      },
    });
    for (let next = performance.now(); !options.signal.aborted; next += everyMs) {
      const { payload } = this.#crafter.request({ ...plan, replyTo: `${replies}.${paced.length}` });
      paced.push({ at: performance.now(), ms: undefined });
      this.#nats.publish(`mcollective.node.${identity}`, payload);
      await sleep(Math.max(0, next + everyMs - performance.now()));
    }
    await sleep(lastRepliesMs);
    subscription.unsubscribe();
    return paced;
  }
}

/** A request of a steady stream: when it was sent, and how long it took; undefined if it was never answered. */
export interface Paced {
  readonly at: number;
  ms: number | undefined;
}

interface PaceOptions {
  readonly signal: AbortSignal;
  readonly onReply: (transport: string) => void;
}
