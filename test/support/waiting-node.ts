// Nodes in provisioning mode, made by hand on a bare connection as Choria's are: they announce themselves, answer in the
// collective `provisioning`, make keys, are configured and restart. Each of their answers can be spoilt.

import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import type { NatsConnection, Subscription } from 'nats';
import { lifecycleEvent, lifecycleSubject } from '../../plugins/wire/lifecycle.ts';
import { makeRequest } from '../../plugins/wire/pki/request.ts';
import { broadcastSubject, nodeSubject } from '../../plugins/wire/subjects.ts';
import { keyFromSeed, publicHex, signHex } from '../../plugins/wire/tokens/ed25519.ts';
import {
  readRequest,
  readSecureRequest,
  readTransport,
  secureReplyText,
  transportBytes,
} from '../../plugins/wire/v1/messages.ts';

export interface Answer {
  readonly statuscode?: number;
  readonly statusmsg?: string;
  readonly data?: unknown;
  /** Another name in the reply. */
  readonly sender?: string;
  /** Bytes in place of a reply. */
  readonly raw?: string;
  /** How often it is sent; 0 for silence. */
  readonly times?: number;
}

export interface Asked {
  readonly action: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly sender: string;
  readonly caller: string;
  readonly id: string;
}

export interface WaitingNodeOptions {
  readonly identity: string;
  readonly token: string;
  /** Where it comes up after a restart. */
  readonly overlay?: NatsConnection | undefined;
  /** Another answer than the usual one; undefined for that. */
  readonly answer?: (asked: Asked, usual: Answer) => Answer | undefined | Promise<Answer | undefined>;
  readonly inventory?: Readonly<Record<string, unknown>>;
  /** Instead of coming up. */
  readonly onRestart?: (node: WaitingNode) => void;
  readonly keys?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  /** Milliseconds between the answer to a restart and the start. */
  readonly restartMs?: number;
}

const component = 'provision_mode_server';

export class WaitingNode {
  readonly identity: string;
  readonly asked: Asked[] = [];
  readonly #nats: NatsConnection;
  readonly #options: WaitingNodeOptions;
  readonly #subscriptions: Subscription[] = [];
  readonly #seed = randomBytes(32).toString('hex');
  /** How often it was configured, and with what. */
  readonly configured: Readonly<Record<string, unknown>>[] = [];

  constructor(nats: NatsConnection, options: WaitingNodeOptions) {
    this.#nats = nats;
    this.#options = options;
    this.identity = options.identity;
  }

  /** Subscribes and announces itself. */
  async start({ announces = true } = {}): Promise<this> {
    this.listen();
    await this.#nats.flush();
    if (announces) this.announce();
    return this;
  }

  listen(): void {
    const subjects = [nodeSubject('provisioning', this.identity), broadcastSubject('provisioning', 'discovery')];
    for (const subject of subjects)
      this.#subscriptions.push(this.#nats.subscribe(subject, { callback: (_error, { data }) => void this.#hear(data) }));
  }

  announce(event = lifecycleEvent('startup', { identity: this.identity, component, version: '0.29.4', now: new Date() })): void {
    this.#nats.publish(lifecycleSubject('startup', component), JSON.stringify(event));
  }

  stop(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe();
  }

  /** It said that it would, and listens no more. */
  get isRestarting(): boolean {
    return this.#subscriptions.length === 0;
  }

  /** Actions that it was asked for, in order. */
  get actions(): string[] {
    return this.asked.map(({ action }) => action);
  }

  async #hear(payload: Uint8Array): Promise<void> {
    const { data, headers } = readTransport(payload);
    const request = readRequest(readSecureRequest(data).message);
    if (request.agent === 'discovery') {
      const text = secureReplyText({ id: request.id, sender: this.identity, agent: 'discovery', body: 'pong', time: now() });
      this.#nats.publish(headers.replyTo, transportBytes(text, { replyTo: '', sender: this.identity, seenBy: [] }));
      return;
    }
    const body = JSON.parse(request.body) as { action: string; data: Record<string, unknown> };
    const asked = { action: body.action, data: body.data, sender: request.sender, caller: request.caller, id: request.id };
    this.asked.push(asked);
    // As a node of Choria, which has nothing to restart into.
    const refuses = asked.action === 'restart' && this.configured.length === 0;
    const usual: Answer = refuses ? { statuscode: 1, statusmsg: 'no configuration' } : { data: this.#usual(asked) };
    const answer = (await this.#options.answer?.(asked, usual)) ?? usual;
    this.#send(request, headers.replyTo, asked.action, answer);
    if (body.action === 'restart' && (answer.statuscode ?? 0) === 0) this.#restart();
  }

  #send({ id, agent }: { id: string; agent: string }, replyTo: string, action: string, answer: Answer): void {
    // The test is over.
    if (this.#nats.isClosed()) return;
    const {
      statuscode = 0,
      statusmsg = statuscode === 0 ? 'OK' : 'no',
      data = {},
      sender = this.identity,
      raw,
      times = 1,
    } = answer;
    const body = raw ?? JSON.stringify({ action, statuscode, statusmsg, data });
    const text = secureReplyText({ id, sender, agent, body, time: now() });
    for (let count = 0; count < times; count += 1)
      this.#nats.publish(replyTo, transportBytes(text, { replyTo: '', sender, seenBy: [] }));
  }

  #usual({ action, data }: Asked): unknown {
    switch (action) {
      case 'jwt':
        return { jwt: this.#options.token, ecdh_public: '7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13' };
      case 'inventory':
        return {
          agents: ['choria_provision', 'rpcutil'],
          facts: { country: 'mt' },
          version: '0.29.4',
          upgradable: false,
          ...this.#options.inventory,
        };
      case 'gen25519': {
        const key = keyFromSeed(this.#seed);
        return { public_key: publicHex(key), directory: '/etc/choria', signature: signHex(String(data.nonce), key) };
      }
      case 'gencsr': {
        const keys = this.#options.keys ?? sharedKeys();
        return {
          csr: makeRequest({ subject: { CN: String(data.cn) }, ...keys }),
          public_key: keys.publicKey.export({ type: 'spki', format: 'pem' }),
          ssldir: '/etc/choria/ssl',
        };
      }
      case 'configure':
        this.configured.push(data);
        return { message: 'configured' };
      default:
        return { message: 'done' };
    }
  }

  #restart(): void {
    this.stop();
    const { onRestart, overlay, restartMs = 5 } = this.#options;
    const event = lifecycleEvent('startup', { identity: this.identity, component: 'server', version: '0.29.4', now: new Date() });
    setTimeout(() => {
      if (onRestart) onRestart(this);
      else if (overlay && !overlay.isClosed()) overlay.publish(lifecycleSubject('startup', 'server'), JSON.stringify(event));
    }, restartMs);
  }
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}

let shared: { publicKey: KeyObject; privateKey: KeyObject } | undefined;

/** What is asked of them does not depend on whose they are, and making them takes a while. */
export function sharedKeys(): { publicKey: KeyObject; privateKey: KeyObject } {
  shared ??= generateKeyPairSync('rsa', { modulusLength: 2048 });
  return shared;
}
