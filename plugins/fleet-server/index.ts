// The fleet server of a node: connects, subscribes for its agents in every collective, feeds the pipeline, tells the
// fleet when it comes and goes.

import { join } from 'node:path';
import { type BusMessage, type Call, definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { findBrokers } from '../wire/brokers.ts';
import { tellConnection } from '../wire/connection-numbers.ts';
import { lookup } from '../wire/facts.ts';
import { openLasting } from '../wire/lasting-connection.ts';
import {
  type CloudEvent,
  type LifecycleType,
  lifecycleEvent,
  lifecycleSubject,
  readLifecycleEvent,
  timeOfEvent,
} from '../wire/lifecycle.ts';
import { NodeFiles } from '../wire/node-files.ts';
import { provisioningAgents } from '../wire/provisioning/mode.ts';
import { securityPlugin } from '../wire/security-plugin.ts';
import { broadcastSubject, fitsSubject, identitySubject, nodeSubject, serviceSubject } from '../wire/subjects.ts';
import { AgentList } from './agents.ts';
import { type BuiltinParts, builtinAgents, getBuiltinData, invokeBuiltin, nodeDocument } from './builtin.ts';
import { isProvisioning, type NodeConfig, nodeConfig } from './config.ts';
import { builtinData, DataSources } from './data-sources.ts';
import { Expressions } from './expressions.ts';
import { Ledger } from './ledger.ts';
import { type Counters, countersMean, Outcomes } from './outcomes.ts';
import { Pipeline } from './pipeline.ts';
import { findProvisioningBrokers, lookUpAgain } from './provisioning/brokers.ts';
import { Registration } from './registration.ts';
import { nodeStatus, tellEnds, writeStatusFile } from './status-file.ts';

const connection = 'node';
/** How often the connection is looked at: until it is there, and from then on. */
const connectingMs = 250;
const connectedMs = 30_000;
/** Namesakes that are remembered as logged. */
const maxNamesakes = 256;
const aliveMs = 30 * 60_000;
const aliveSplayMs = 29 * 60_000;

const nodeFacts = { kind: 'facts', name: 'node', description: 'The facts of this node, by gjson paths' } as const;

export default definePlugin({
  kind: 'service',
  version: '1.0.0',
  create: (host) => {
    const server = new FleetServer(host);
    return {
      methods: {
        'service/status': () => server.status(),
        'data/get': (params: { source: string; query?: string }) => server.data(params),
        'facts/get': (params: { path?: string }) => server.fact(params),
        'agent/invoke': (params: { agent: string; action: string; data: unknown }, call: Call) => server.invoke(params, call),
      },
      activate: () => server.start(),
      shutdown: () => server.stop(),
    };
  },
});

/** What the security plugin says of this node. */
interface NodeIdentity {
  readonly identity: string;
  readonly certname: string;
  /** Without it the connection has no TLS. */
  readonly tls?: object;
  readonly token?: string;
  /** File with the seed that the token is for. */
  readonly seed?: string;
  readonly tokenExpires?: string;
  readonly expires: string | null;
}

class FleetServer {
  readonly #host: Host;
  readonly #config: NodeConfig;
  readonly #outcomes = new Outcomes();
  readonly #agents: AgentList;
  readonly #files: NodeFiles;
  readonly #ledger: Ledger;
  readonly #data: DataSources;
  readonly #subscribed = new Set<string>();
  #identity = '';
  #server: string | undefined;
  #pipeline: Pipeline | undefined;
  #builtin: BuiltinParts | undefined;
  #startup: CloudEvent | undefined;
  #certificateExpires: string | null = null;
  /** Of the token that its broker is shown. */
  #tokenExpires: string | null = null;
  #statusProblem = '';
  #hasLeft = false;

  constructor(host: Host) {
    this.#host = host;
    this.#config = nodeConfig(host.config);
    this.#agents = new AgentList(host);
    this.#data = new DataSources(host);
    this.#files = new NodeFiles({ facts: this.#config['plugin.yaml'] ?? [], classes: this.#config.classesfile }, host.log);
    const ledgerFile = host.stateFolder === null ? undefined : join(host.stateFolder, 'ledger.jsonl');
    this.#ledger = new Ledger(ledgerFile, (problem) => host.log.error(problem));
  }

  async start(): Promise<void> {
    const host = this.#host;
    const who = (await host.plugins.call('security', securityPlugin(this.#config), 'security/identity', {
      role: 'server',
    })) as NodeIdentity;
    const { identity, expires } = who;
    for (const name of [identity, ...this.#config.collectives])
      if (!fitsSubject(name)) throw new Error(`'${name}' can't be part of a NATS subject; choose another identity or collective`);
    this.#identity = identity;
    this.#certificateExpires = expires;
    this.#tokenExpires = who.tokenExpires ?? null;
    await this.#connect(who);
    const info = await host.control.info();
    const { host: _host, ...shared } = {
      host,
      identity,
      config: this.#config,
      agents: this.#agents,
      files: this.#files,
      outcomes: this.#outcomes,
    };
    const builtin = { host, ...shared, data: this.#data, info };
    this.#builtin = builtin;
    const expressions = new Expressions(host, this.#data);
    this.#pipeline = new Pipeline({ host, ...shared, ledger: this.#ledger, expressions, server: () => this.#server });
    await host.announce.set([...this.#builtinAgents, ...(this.#isProvisioning ? [] : builtinData), nodeFacts]);
    if (!this.#isProvisioning) await host.plugins.watch('data', () => this.#data.refresh());
    await host.plugins.watch('agent', () => this.#agentsChanged());
    await host.events.subscribe({ id: 'node', type: 'node/*' }, (type) => this.#happened(type));
    if (!this.#isProvisioning) await this.#watchNamesakes();
    await this.#subscribe('node', (collective) => nodeSubject(collective, identity));
    await this.#subscribe('agent:discovery', (collective) => broadcastSubject(collective, 'discovery'));
    for (const { name } of this.#builtinAgents)
      await this.#subscribe(`agent:${name}`, (collective) => broadcastSubject(collective, name));
    await this.#agentsChanged();
    await host.timers.set({ id: 'connection', afterMs: 0, everyMs: connectingMs }, () => this.#checkConnection());
    await host.timers.set({ id: 'alive', everyMs: aliveMs, splayMs: aliveSplayMs }, () => this.#emit('alive'));
    if (this.#config['plugin.choria.status_file_path'] !== undefined) {
      const everyMs = Math.max(1, this.#config['plugin.choria.status_update_interval']) * 1000;
      await host.timers.set({ id: 'status', afterMs: 0, everyMs }, () => this.#writeStatus(info.startedAt));
    }
    // The calls of this host are told to it from its start on.
    if (this.#config['plugin.muster.otlp_endpoint'] !== undefined)
      await host.plugins.call('tracer', 'otlp', 'tracer/record', { spans: [] });
    if (this.#config['plugin.choria.stats_port'] > 0) await host.metrics.onCollect(() => this.#tellNumbers());
    await new Registration({ host, identity, config: this.#config, document: () => nodeDocument(builtin, expires) }).start();
  }

  async stop(): Promise<void> {
    await this.#pipeline?.drained(this.#config.soft_shutdown_timeout * 1000);
    if (!this.#hasLeft) await this.#emit('shutdown').catch(() => undefined);
    this.#ledger.close();
  }

  async status(): Promise<{ healthy: boolean; summary: string; details: object }> {
    const { connected, server } = await this.#host.bus.info(connection);
    return {
      healthy: connected,
      summary: connected ? `connected to ${server}` : 'not connected to a broker',
      details: { identity: this.#identity, ...this.#outcomes.counters },
    };
  }

  async invoke(params: { agent: string; action: string; data: unknown }, call: Call): Promise<unknown> {
    if (!this.#builtin) throw new Error('the node is still starting');
    return invokeBuiltin(params, call, this.#builtin);
  }

  async data(params: { source: string; query?: string }): Promise<unknown> {
    if (!this.#builtin) throw new Error('the node is still starting');
    return getBuiltinData(params, this.#builtin);
  }

  fact({ path }: { path?: string }): { value: unknown } {
    return { value: path === undefined ? this.#files.facts : (lookup(this.#files.facts, path) ?? null) };
  }

  get #isProvisioning(): boolean {
    return isProvisioning(this.#config);
  }

  /** Those that may be served. */
  get #builtinAgents(): typeof builtinAgents {
    return this.#isProvisioning ? builtinAgents.filter(({ name }) => provisioningAgents.includes(name)) : builtinAgents;
  }

  /** What other plugins of this node tell of it. */
  async #happened(type: string): Promise<void> {
    if (type === 'node/provisioned') await this.#emit('provisioned');
    if (type === 'node/renewing') await this.#emit('renewing');
    if (type !== 'node/leaving' || this.#hasLeft) return;
    // It is told once, when the end is certain, and not again at the end itself.
    this.#hasLeft = true;
    await this.#emit('shutdown');
  }

  async #connect({ certname, tls, token, seed }: NodeIdentity): Promise<void> {
    const { 'plugin.nats.user': user, 'plugin.nats.pass': password } = this.#config;
    const spec = {
      connection,
      name: certname,
      ...(tls && { tls }),
      ...(token !== undefined && { token }),
      ...(seed !== undefined && { seed }),
      connectTimeoutMs: this.#config['plugin.choria.network.connect_timeout'],
      ...(user !== undefined && password !== undefined && { user, password }),
    };
    if (this.#isProvisioning)
      await openLasting(this.#host, { ...spec, backoff: lookUpAgain }, () => findProvisioningBrokers(this.#host, this.#config));
    else await openLasting(this.#host, spec, () => findBrokers(this.#config, process.env));
  }

  async #subscribe(id: string, subject: (collective: string) => string, queue?: string): Promise<void> {
    for (const collective of this.#config.collectives) {
      const spec = { connection, id: `${id}:${collective}`, subject: subject(collective), ...(queue !== undefined && { queue }) };
      this.#subscribed.add(spec.id);
      await this.#host.bus.subscribe(spec, (message: BusMessage) => this.#pipeline?.accept(message));
    }
  }

  /** Agents come and go while the node runs; each has a subject in every collective. */
  async #agentsChanged(): Promise<void> {
    await this.#agents.refresh();
    const wanted = new Set<string>();
    for (const { name, ddl } of this.#agents.all()) {
      for (const collective of this.#config.collectives) wanted.add(`agent:${name}:${collective}`);
      if ([...this.#subscribed].some((id) => id.startsWith(`agent:${name}:`))) continue;
      if (ddl.metadata.service) await this.#subscribe(`agent:${name}`, (collective) => serviceSubject(collective, name), name);
      else await this.#subscribe(`agent:${name}`, (collective) => broadcastSubject(collective, name));
    }
    const builtin = new Set(['discovery', ...this.#builtinAgents.map(({ name }) => name)]);
    for (const id of [...this.#subscribed]) {
      const [kind, name = ''] = id.split(':');
      if (kind !== 'agent' || wanted.has(id) || builtin.has(name)) continue;
      this.#subscribed.delete(id);
      await this.#host.bus.unsubscribe(id);
    }
  }

  /**
   * A second node of this name would answer as well. Each shows its start-up event on a subject of the name, where only
   * namesakes listen, and answers another's with its own: so both know, and the others of a large fleet hear nothing of it.
   */
  async #watchNamesakes(): Promise<void> {
    const seen = new Set<string>();
    await this.#host.bus.subscribe(
      { connection, id: 'namesakes', subject: identitySubject(this.#identity), limit: 64 },
      async ({ payload }) => {
        const told = readLifecycleEvent(Buffer.from(payload).toString('utf8'));
        if (!told || told.event.identity !== this.#identity || told.event.id === this.#startup?.id || seen.has(told.event.id))
          return;
        if (seen.size < maxNamesakes) seen.add(told.event.id);
        this.#host.log.error(`another node with the identity ${this.#identity} started; give each node an identity of its own`, {
          event: told.event.id,
          time: timeOfEvent(told.event),
        });
        await this.#showStartup();
      },
    );
  }

  async #writeStatus(startedAt: number): Promise<void> {
    const file = this.#config['plugin.choria.status_file_path'];
    if (file === undefined) return;
    const { server } = await this.#host.bus.info(connection);
    const parts = {
      identity: this.#identity,
      server,
      outcomes: this.#outcomes,
      startedAt,
      certificateExpires: this.#certificateExpires,
      tokenExpires: this.#tokenExpires,
      isProvisioning: this.#isProvisioning,
    };
    try {
      writeStatusFile(file, nodeStatus(parts, Date.now()));
      this.#statusProblem = '';
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#statusProblem) this.#host.log.error(`the status file ${file} can not be written: ${message}`);
      this.#statusProblem = message;
    }
  }

  async #tellNumbers(): Promise<void> {
    const { metrics } = this.#host;
    const labels = { identity: this.#identity };
    await tellConnection(this.#host, connection, labels);
    await tellEnds(metrics, labels, { certificate: this.#certificateExpires, token: this.#tokenExpires });
    for (const [name, value] of Object.entries(this.#outcomes.counters))
      await metrics.set(`choria_server_${name}`, value, labels, { type: 'counter', help: countersMean[name as keyof Counters] });
  }

  async #showStartup(): Promise<void> {
    if (!this.#startup) return;
    await this.#host.bus.publish({
      connection,
      subject: identitySubject(this.#identity),
      payload: Buffer.from(JSON.stringify(this.#startup)),
    });
  }

  /** The broker may be reached late, and another one later: replies name the one that they go through. */
  async #checkConnection(): Promise<void> {
    const { connected, server } = await this.#host.bus.info(connection);
    if (!connected) return;
    this.#server = server;
    if (this.#startup) return;
    await this.#started();
    await this.#host.timers.set({ id: 'connection', everyMs: connectedMs, splayMs: connectedMs }, () => this.#checkConnection());
  }

  async #started(): Promise<void> {
    // What this plugin announces is there since the host switched to it.
    await this.#agentsChanged();
    if (!this.#isProvisioning) await this.#data.refresh();
    await this.#emit('startup');
    if (!this.#isProvisioning) await this.#showStartup();
    this.#host.log.info(
      `node ${this.#identity} serves ${this.#agents.names.join(', ')} in ${this.#config.collectives.join(', ')}`,
    );
  }

  async #emit(type: LifecycleType): Promise<void> {
    const { version } = await this.#host.control.info();
    const component = this.#isProvisioning ? 'provision_mode_server' : 'server';
    const event = lifecycleEvent(type, {
      identity: this.#identity,
      component,
      now: new Date(),
      ...((type === 'startup' || type === 'alive') && { version }),
    });
    if (type === 'startup') this.#startup = event;
    const body = this.#config['plugin.choria.legacy_lifecycle_format'] ? event.data : event;
    await this.#host.bus.publish({
      connection,
      subject: lifecycleSubject(type, component),
      payload: Buffer.from(JSON.stringify(body)),
    });
    this.#outcomes.counters.events += 1;
  }
}
