// Requests that are signed beforehand, so that the client's own cost stays out of what is measured.

import type { NatsConnection } from 'nats';
import type { Fleet } from '../support/fleet.ts';
import { type Crafted, Crafter, type RequestPlan } from '../support/messages.ts';

const inFlight = 256;

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

  sign(count: number, plan: Pick<RequestPlan, 'agent' | 'action' | 'data'> = {}): Crafted[] {
    return Array.from({ length: count }, () => this.#crafter.request({ ...plan, replyTo: 'mcollective.reply.bench.all' }));
  }

  /** Sends them, at most so many unanswered; requests a second until the last reply. @throws Error if replies are missing */
  async send(requests: readonly Crafted[], identity: string, window = inFlight): Promise<number> {
    let answered = 0;
    let sent = 0;
    const subject = `mcollective.node.${identity}`;
    const publish = () => {
      const request = requests[sent];
      if (!request) return;
      sent += 1;
      this.#nats.publish(subject, request.payload);
    };
    const started = performance.now();
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${answered} of ${requests.length} requests were answered`)), 60_000);
      const subscription = this.#nats.subscribe('mcollective.reply.bench.all', {
        callback: () => {
          answered += 1;
          publish();
          if (answered < requests.length) return;
          clearTimeout(timer);
          subscription.unsubscribe();
          resolve();
        },
      });
      for (let count = 0; count < window; count += 1) publish();
    });
    return requests.length / ((performance.now() - started) / 1000);
  }
}
