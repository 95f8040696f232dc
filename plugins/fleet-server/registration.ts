// Asks the configured registration plugins what is to be told of this node, at an interval, and sends it as signed requests
// that nobody answers.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { emptyFilter } from '../wire/filter.ts';
import { type NodeDocument, registrationAgent, registrationReplyTo } from '../wire/registration.ts';
import { newRequestId } from '../wire/rpc.ts';
import { securityPlugin } from '../wire/security-plugin.ts';
import { broadcastSubject } from '../wire/subjects.ts';
import { mainCollective, type NodeConfig } from './config.ts';

const connection = 'node';
/** A plugin is asked so long after the start, and not all in the same moment. */
const settleMs = 1_000;
const settleSplayMs = 3_000;
/** A timer may be a little early. */
const toleranceMs = 500;

export interface RegistrationParts {
  readonly host: Host;
  readonly identity: string;
  readonly config: NodeConfig;
  readonly document: () => Promise<NodeDocument>;
}

interface Sent {
  readonly at: number;
  readonly bytes: number;
}

export class Registration {
  readonly #parts: RegistrationParts;
  readonly #sent = new Map<string, Sent>();

  constructor(parts: RegistrationParts) {
    this.#parts = parts;
  }

  /** One timer for each plugin: each keeps its own interval. */
  async start(): Promise<void> {
    const { host, config } = this.#parts;
    const { registration = [], registerinterval: seconds, registration_splay: splay } = config;
    if (registration.length === 0) return;
    if (seconds < 1) {
      host.log.error(`registerinterval is ${seconds}; registration needs a second at least, so this node does not register`);
      return;
    }
    const trigger = config['plugin.choria.registration.size_trigger'];
    const everyMs = (trigger > 0 ? Math.max(1, config['plugin.choria.registration.size_interval']) : seconds) * 1000;
    const splayMs = settleSplayMs + (splay ? seconds * 1000 : 0);
    for (const name of new Set(registration))
      await host.timers.set({ id: `registration:${name}`, afterMs: settleMs, everyMs, splayMs }, () => this.#register(name));
  }

  async #register(name: string): Promise<void> {
    const { host, document } = this.#parts;
    if (!(await host.bus.info(connection)).connected) return;
    try {
      const { messages } = (await host.plugins.call('registration', name, 'registration/collect', {
        node: await document(),
      })) as {
        messages: readonly { body: string; target?: string }[];
      };
      const bytes = messages.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
      if (messages.length === 0 || !this.#isDue(name, bytes)) return;
      for (const { body, target } of messages) await this.#send(body, target);
      this.#sent.set(name, { at: Date.now(), bytes });
    } catch (error) {
      host.log.error(`registration ${name}: ${(error as Error).message}`);
    }
  }

  /** At its interval, and before if the message became so much larger or smaller. */
  #isDue(name: string, bytes: number): boolean {
    const last = this.#sent.get(name);
    const { registerinterval: seconds, 'plugin.choria.registration.size_trigger': trigger } = this.#parts.config;
    if (!last || Date.now() - last.at >= seconds * 1000 - toleranceMs) return true;
    return trigger > 0 && Math.abs(bytes - last.bytes) >= trigger;
  }

  async #send(body: string, target: string | undefined): Promise<void> {
    const { host, identity, config } = this.#parts;
    const collective = config.registration_collective ?? mainCollective(config);
    const request = {
      id: newRequestId(),
      agent: registrationAgent,
      collective,
      ttl: config.ttl,
      filter: emptyFilter,
      body,
      replyTo: registrationReplyTo,
      sender: identity,
    };
    const { messages } = (await host.plugins.call('security', securityPlugin(config), 'security/sign', {
      role: 'server',
      requests: [request],
    })) as {
      messages: { payload: Uint8Array }[];
    };
    const subject = target ?? broadcastSubject(collective, registrationAgent);
    for (const { payload } of messages) await host.bus.publish({ connection, subject, payload });
  }
}
