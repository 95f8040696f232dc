// The federation broker: connected to the federation and to a member network, it passes requests one way and replies the other.

import { type BusMessage, definePlugin, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { type BrokerConfig, type Brokers, federationServices, findBrokers, findFederationBrokers } from '../wire/brokers.ts';
import { tellConnection } from '../wire/connection-numbers.ts';
import { openLasting } from '../wire/lasting-connection.ts';
import { federationSubject, fitsSubject } from '../wire/subjects.ts';
import { type Forwarded, forwardReply, forwardRequest, RefusedError } from './route.ts';

/** Members of each queue group: as many as a broker of Choria has, so that both take equal shares. */
const workers = 10;
/** How often it is looked which servers the connections have; hops name them. */
const lookMs = 1_000;

interface Config extends BrokerConfig {
  readonly 'plugin.choria.federation.cluster': string;
  readonly 'plugin.choria.network.connect_timeout': number;
  readonly 'plugin.choria.stats_port': number;
  readonly 'plugin.nats.user'?: string;
  readonly 'plugin.nats.pass'?: string;
}

type Side = 'federation' | 'collective';

/** What one worker did. */
interface Tally {
  readonly worker: number;
  readonly side: Side;
  received: number;
  published: number;
  errors: number;
  /** What passing on took, and how often. */
  seconds: number;
  timed: number;
}

/** What comes from a side. */
const stages = { federation: 'requests', collective: 'replies' } as const;
const otherSide = { federation: 'collective', collective: 'federation' } as const;

export default definePlugin({
  kind: 'service',
  version: '1.0.0',
  create: (host) => {
    const broker = new FederationBroker(host);
    return {
      methods: { 'service/status': () => broker.status() },
      activate: () => broker.start(),
    };
  },
});

class FederationBroker {
  readonly #host: Host;
  readonly #config: Config;
  readonly #network: string;
  readonly #tallies: Tally[] = [];
  readonly #refused = new Map<string, number>();
  readonly #servers: Record<Side, string> = { federation: '', collective: '' };
  #identity = '';

  constructor(host: Host) {
    this.#host = host;
    this.#config = host.config as unknown as Config;
    this.#network = this.#config['plugin.choria.federation.cluster'];
  }

  async start(): Promise<void> {
    const federation = await findFederationBrokers(this.#config, process.env);
    if (federation.urls.length === 0)
      throw new PluginError(
        'UNAVAILABLE',
        `a federation broker needs the brokers of the federation; set plugin.choria.federation_middleware_hosts, or SRV records ${federationServices.join(' or ')}${federation.problems.map((problem) => ` (${problem})`).join('')}`,
      );
    if (!fitsSubject(this.#network) || this.#network.includes('.'))
      throw new PluginError(
        'UNAVAILABLE',
        `'${this.#network}' can't be one word of a NATS subject; choose another plugin.choria.federation.cluster`,
      );
    const { identity, certname, tls } = (await this.#host.plugins.call('security', 'x509', 'security/identity', {
      role: 'server',
    })) as { identity: string; certname: string; tls: object };
    this.#identity = identity;
    await this.#connect('federation', () => findFederationBrokers(this.#config, process.env), certname, tls);
    await this.#connect('collective', () => findBrokers(this.#config, process.env), certname, tls);
    for (const side of ['federation', 'collective'] as const)
      for (let worker = 0; worker < workers; worker += 1) await this.#listen(side, worker);
    await this.#host.timers.set({ id: 'servers', afterMs: 0, everyMs: lookMs }, () => this.#lookAtServers());
    if (this.#config['plugin.choria.stats_port'] > 0) await this.#host.metrics.onCollect(() => this.#tellNumbers());
    this.#host.log.info(`federation broker of ${this.#network} passes on what comes from ${federation.urls.join(', ')}`);
  }

  status(): { healthy: boolean; summary: string; details: object } {
    const missing = Object.entries(this.#servers).filter(([, server]) => server === '');
    const sum = (what: 'received' | 'published' | 'errors') => this.#tallies.reduce((total, tally) => total + tally[what], 0);
    return {
      healthy: missing.length === 0,
      summary:
        missing.length === 0
          ? `passes on between ${this.#servers.federation} and ${this.#servers.collective}`
          : `not connected to a broker of the ${missing.map(([side]) => side).join(' and the ')}`,
      details: {
        cluster: this.#network,
        servers: { ...this.#servers },
        received: sum('received'),
        published: sum('published'),
        errors: sum('errors'),
        refused: Object.fromEntries(this.#refused),
      },
    };
  }

  async #tellNumbers(): Promise<void> {
    const { metrics } = this.#host;
    for (const side of ['federation', 'collective'] as const)
      await tellConnection(this.#host, side, { identity: this.#identity, connected_to: side });
    for (const tally of this.#tallies) {
      const labels = {
        name: stages[tally.side],
        worker: String(tally.worker),
        connected_to: tally.side,
        cluster: this.#network,
        identity: this.#identity,
      };
      const set = (name: string, value: number, help: string) =>
        metrics.set(`choria_federation_${name}`, value, labels, { type: 'counter', help });
      await set('received_msgs', tally.received, 'Messages that came');
      await set('published_msgs', tally.published, 'Messages that were passed on');
      await set('errors', tally.errors, 'Messages that were refused or could not be passed on');
      // The two series of a summary, which Choria has without quantiles.
      await set('time_sum', tally.seconds, 'Seconds that passing on took');
      await set('time_count', tally.timed, 'Messages whose passing on took that time');
    }
  }

  async #connect(connection: Side, find: () => Promise<Brokers>, certname: string, tls: object): Promise<void> {
    const { 'plugin.nats.user': user, 'plugin.nats.pass': password } = this.#config;
    const spec = {
      connection,
      name: certname,
      tls,
      connectTimeoutMs: this.#config['plugin.choria.network.connect_timeout'],
      ...(user !== undefined && password !== undefined && { user, password }),
    };
    await openLasting(this.#host, spec, find);
  }

  async #listen(side: Side, worker: number): Promise<void> {
    const tally: Tally = { worker, side, received: 0, published: 0, errors: 0, seconds: 0, timed: 0 };
    this.#tallies.push(tally);
    const spec = {
      connection: side,
      id: `${side}:${worker}`,
      subject: federationSubject(this.#network, side),
      queue: `${this.#network}_${side}`,
    };
    await this.#host.bus.subscribe(spec, (message: BusMessage) => this.#pass(message, tally));
  }

  async #pass(message: BusMessage, tally: Tally): Promise<void> {
    const begun = performance.now();
    await this.#passOn(message, tally);
    tally.seconds += (performance.now() - begun) / 1000;
    tally.timed += 1;
  }

  async #passOn({ payload }: BusMessage, tally: Tally): Promise<void> {
    const { side, worker } = tally;
    tally.received += 1;
    const stage = stages[side];
    const hop = [this.#servers[side], `${this.#identity} (${stage}:${worker})`, this.#servers[otherSide[side]]] as const;
    let forwarded: Forwarded;
    try {
      forwarded = side === 'federation' ? forwardRequest(payload, this.#network, hop) : forwardReply(payload, hop);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      tally.errors += 1;
      this.#tellOnce(`${stage}: ${error.code}`, `a message was refused: ${error.message}`);
      return;
    }
    await Promise.all(forwarded.subjects.map((subject) => this.#publish(subject, forwarded.payload, tally)));
  }

  async #publish(subject: string, payload: Uint8Array, tally: Tally): Promise<void> {
    try {
      await this.#host.bus.publish({ connection: otherSide[tally.side], subject, payload });
      tally.published += 1;
    } catch (error) {
      tally.errors += 1;
      this.#tellOnce(`to the ${otherSide[tally.side]}`, `a message was not passed on: ${(error as Error).message}`);
    }
  }

  /** Anybody may send what is refused, so it must not fill the log. */
  #tellOnce(kind: string, message: string): void {
    const count = (this.#refused.get(kind) ?? 0) + 1;
    this.#refused.set(kind, count);
    if (count === 1) this.#host.log.warn(`${message}; others of this kind are counted only`, { kind });
  }

  async #lookAtServers(): Promise<void> {
    for (const side of ['federation', 'collective'] as const) {
      const { connected, server } = await this.#host.bus.info(side);
      this.#servers[side] = connected ? (server ?? '') : '';
    }
  }
}
