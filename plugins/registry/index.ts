// The registry: listens to what nodes say of themselves and keeps it in a bucket on the broker. It holds nothing that would be
// lost with it: several may run beside each other, and one that was killed goes on with what nodes say next.

import { type Bucket, type BusMessage, definePlugin, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { readLifecycleEvent } from '../wire/lifecycle.ts';
import { readInventoryMessage } from '../wire/registration.ts';
import { ageAllowed } from '../wire/rpc.ts';
import { type SecurityChoice, securityPlugin } from '../wire/security-plugin.ts';
import { connect } from './connect.ts';
import {
  afterEvent,
  afterRegistration,
  bucketName,
  connection,
  isKey,
  type NodeRecord,
  readRecord,
  recordBytes,
} from './record.ts';

/** Several registries share the messages. */
const queue = 'muster-registry';
/** Events of other programs, such as provisioners, are not about nodes that can be asked. */
const component = 'server';
/** How often the bucket is looked at: until it is there, and from then on. */
const reachingMs = 500;
const reachedMs = 60_000;
/** Messages that wait; what is dropped past it, its node tells again. */
const limit = 4_096;
const notConnected = 'the registry is not connected to a broker';
const maxAttempts = 8;
/** A refusal is told in the log this often at most. */
const repeatMs = 60_000;

interface Config extends SecurityChoice {
  readonly 'plugin.muster.registry.forget_after': number;
  readonly 'plugin.muster.registry.replicas': number;
  readonly 'plugin.muster.registry.max_nodes': number;
}

interface OpenedRequest {
  readonly sender: string;
  readonly body: string;
  readonly time: number;
  readonly ttl: number;
}

type Opened = { readonly ok: true; readonly request: OpenedRequest } | { readonly ok: false; readonly reason: string };
type Change = (before: NodeRecord | undefined, seen: number) => NodeRecord | undefined;

export default definePlugin({
  kind: 'service',
  version: '1.0.0',
  create: (host) => {
    const registry = new Registry(host);
    return { methods: { 'service/status': () => registry.status() }, activate: () => registry.start() };
  },
});

class Registry {
  readonly #host: Host;
  readonly #config: Config;
  readonly #nodes: Bucket;
  /** What is being written, by node: one change after the other. */
  readonly #writing = new Map<string, Promise<void>>();
  readonly #counters = { events: 0, registrations: 0, refused: 0, written: 0 };
  #known = 0;
  #problem: string | undefined = notConnected;
  #toldAt = 0;

  constructor(host: Host) {
    this.#host = host;
    this.#config = host.config as unknown as Config;
    this.#nodes = host.kv.bucket(connection, bucketName);
  }

  async start(): Promise<void> {
    const { bus, timers } = this.#host;
    await connect(this.#host, 'server', false);
    await bus.subscribe({ connection, id: 'events', subject: 'choria.lifecycle.event.>', queue, limit }, (message) =>
      this.#event(message),
    );
    await bus.subscribe({ connection, id: 'registrations', subject: '*.broadcast.agent.registration', queue, limit }, (message) =>
      this.#registration(message),
    );
    await timers.set({ id: 'bucket', afterMs: 0, everyMs: reachingMs }, () => this.#ensureBucket());
  }

  status(): { healthy: boolean; summary: string; details: object } {
    const healthy = this.#problem === undefined;
    return {
      healthy,
      summary: healthy ? `${this.#known} nodes are known` : String(this.#problem),
      details: { nodes: this.#known, ...this.#counters },
    };
  }

  async #event({ payload }: BusMessage): Promise<void> {
    const told = readLifecycleEvent(Buffer.from(payload).toString('utf8'));
    if (!told || told.event.component !== component) return;
    const { type, event } = told;
    if (!Number.isSafeInteger(event.timestamp) || event.timestamp < 0)
      return this.#refuse(`an event of ${event.identity} has no time`);
    this.#counters.events += 1;
    await this.#change(event.identity, (before, seen) => afterEvent(before, type, event, seen));
  }

  async #registration({ payload }: BusMessage): Promise<void> {
    const { results } = (await this.#host.plugins.call('security', securityPlugin(this.#config), 'security/open', {
      from: 'nodes',
      messages: [{ payload }],
    })) as { results: Opened[] };
    for (const opened of results) {
      if (!opened.ok) this.#refuse(opened.reason);
      else await this.#register(opened.request);
    }
  }

  async #register({ sender, body, time, ttl }: OpenedRequest): Promise<void> {
    // An old one that is sent again by somebody else must not count as a sign of life.
    if (!ageAllowed(now(), time, ttl))
      return this.#refuse(
        `a registration of ${sender} was made ${spellAge(now() - time)} and lives for ${ttl} s; compare the clocks of both machines`,
      );
    try {
      const document = readInventoryMessage(body);
      if (!document) return;
      this.#counters.registrations += 1;
      await this.#change(sender, (before, seen) => afterRegistration(before, sender, document, time, seen));
    } catch (error) {
      this.#refuse(`a registration of ${sender}: ${(error as Error).message}`);
    }
  }

  /** Changes of one node wait for each other; those of several don't. */
  async #change(identity: string, change: Change): Promise<void> {
    if (!isKey(identity))
      return this.#refuse(`'${identity.slice(0, 60)}' can not be kept: a name has letters, digits, - and _, joined by dots`);
    const mine = (this.#writing.get(identity) ?? Promise.resolve()).then(() => this.#write(identity, change));
    this.#writing.set(identity, mine);
    await mine;
    if (this.#writing.get(identity) === mine) this.#writing.delete(identity);
  }

  async #write(identity: string, change: Change): Promise<void> {
    try {
      for (let attempt = 0; attempt < maxAttempts; attempt += 1) if (await this.#tryWrite(identity, change)) return;
      this.#refuse(`${identity} was changed by others all the time`);
    } catch (error) {
      this.#refuse(`${identity} could not be written: ${(error as Error).message}`);
      if (error instanceof PluginError && error.code === 'NOT_FOUND') await this.#ensureBucket();
    }
  }

  /** False if another registry changed it meanwhile. */
  async #tryWrite(identity: string, change: Change): Promise<boolean> {
    const entry = await this.#nodes.get(identity);
    const after = change(entry ? readRecord(entry.value) : undefined, now());
    if (!after) return true;
    if (!entry && this.#known >= this.#config['plugin.muster.registry.max_nodes']) {
      this.#refuse(`${identity} is not kept, since ${this.#known} nodes are known; plugin.muster.registry.max_nodes allows more`);
      return true;
    }
    if ((await this.#nodes.update(identity, recordBytes(after), entry?.revision ?? 0)) === null) return false;
    this.#counters.written += 1;
    if (!entry) this.#known += 1;
    return true;
  }

  async #ensureBucket(): Promise<void> {
    const before = this.#problem;
    this.#problem = await this.#makeBucket();
    if (this.#problem === before) return;
    if (this.#problem !== undefined) this.#host.log.error(this.#problem);
    else this.#host.log.info(`the registry keeps ${this.#known} nodes in the bucket ${bucketName}`);
    const everyMs = this.#problem === undefined ? reachedMs : reachingMs;
    await this.#host.timers.set({ id: 'bucket', everyMs }, () => this.#ensureBucket());
  }

  /** Why there is no bucket; undefined if there is one. */
  async #makeBucket(): Promise<string | undefined> {
    if (!(await this.#host.bus.info(connection)).connected) return notConnected;
    try {
      const { values } = await this.#nodes.create({
        history: 1,
        ttlMs: this.#config['plugin.muster.registry.forget_after'],
        storage: 'file',
        replicas: this.#config['plugin.muster.registry.replicas'],
        description: 'What is known of nodes',
      });
      this.#known = values;
      return undefined;
    } catch (error) {
      return `the registry has no bucket: ${(error as Error).message}; a broker needs plugin.choria.network.stream.store`;
    }
  }

  #refuse(reason: string): void {
    this.#counters.refused += 1;
    if (Date.now() - this.#toldAt < repeatMs) {
      this.#host.log.debug(reason);
      return;
    }
    this.#toldAt = Date.now();
    this.#host.log.warn(`${reason} (${this.#counters.refused} in all; the next ones are logged at debug for a minute)`);
  }
}

function spellAge(seconds: number): string {
  return seconds < 0 ? `${-seconds} s in the future` : `${seconds} s ago`;
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
