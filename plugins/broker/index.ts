// The broker service: the nats-server of the fleet and, where one is wanted, another for nodes that are to be provisioned.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { definePlugin, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { machineIdentity } from '../wire/identity.ts';
import { loopbackOf } from './callout/connection.ts';
import { type BrokerPlan, brokerConfiguration } from './configuration.ts';
import { readLinks } from './links.ts';
import { tellNumbers } from './numbers.ts';
import { findNatsServer } from './program.ts';
import { ProvisioningBroker, type ProvisioningConfig } from './provisioning.ts';
import { keptPort, WatchedServer } from './server.ts';
import { TokenPort, type TokenPortConfig } from './token-port.ts';

interface Config extends ProvisioningConfig, TokenPortConfig {
  readonly 'plugin.choria.network.client_port': number;
  readonly 'plugin.choria.network.peers'?: readonly string[];
  readonly 'plugin.choria.network.peer_port': number;
  readonly 'plugin.choria.network.peer_user'?: string;
  readonly 'plugin.choria.network.peer_password'?: string;
  readonly 'plugin.choria.network.system.user': string;
  readonly 'plugin.choria.network.system.password'?: string;
  readonly 'plugin.choria.network.leafnode_port': number;
  readonly 'plugin.choria.stats_port': number;
}

const fleetServerId = 'nats-server';

export default definePlugin({
  kind: 'service',
  version: '1.0.0',
  create: (host) => {
    const broker = new Broker(host);
    return {
      methods: { 'service/status': () => broker.status() },
      activate: () => broker.start(),
      shutdown: () => broker.stop(),
    };
  },
});

class Broker {
  readonly #host: Host;
  readonly #config: Config;
  #fleet: WatchedServer | undefined;
  #provisioning: ProvisioningBroker | undefined;
  #tokens: TokenPort | undefined;
  #ownLeafPort: number | undefined;

  constructor(host: Host) {
    this.#host = host;
    this.#config = host.config as unknown as Config;
  }

  async start(): Promise<void> {
    const [info, identity] = await Promise.all([
      this.#host.control.info(),
      this.#host.plugins.call('security', 'x509', 'security/identity', { role: 'server' }),
    ]);
    const { tls } = identity as { tls: BrokerPlan['tls'] };
    const program = findNatsServer(process.env, info.root ?? '');
    const fleet = this.#fleetServer(program, tls);
    this.#fleet = fleet;
    this.#provisioning = await ProvisioningBroker.create(this.#host, this.#config, program, tls);
    this.#tokens = await TokenPort.create(this.#host, this.#config, { program, tls, fleet: this.#leafListener() });
    if (this.#tokens) this.#ownLeafPort = await this.#keptLeafPort();
    await fleet.start();
    await this.#provisioning?.start();
    await this.#tokens?.start();
    if (this.#config['plugin.choria.stats_port'] > 0) await this.#host.metrics.onCollect(() => this.#tellNumbers(fleet));
  }

  async stop(): Promise<void> {
    this.#fleet?.stop();
    this.#provisioning?.stop();
    this.#tokens?.stop();
  }

  async status(): Promise<{ healthy: boolean; summary: string; details: object }> {
    const [fleet, provisioning, tokens] = await Promise.all([
      this.#fleet?.status(),
      this.#provisioning?.status(),
      this.#tokens?.status(),
    ]);
    return {
      healthy: (fleet?.healthy ?? false) && (provisioning?.healthy ?? true) && (tokens?.healthy ?? true),
      summary: [fleet, provisioning, tokens].flatMap((state) => (state ? [state.summary] : [])).join('; '),
      details: {
        port: this.#fleet?.port,
        ...(provisioning && { provisioning: provisioning.details }),
        ...(tokens && { tokens: tokens.details }),
      },
    };
  }

  /** Where leaf nodes come in: the port for those of others, else one of this machine only. */
  #leafListener(): { readonly host: string; readonly port: () => number } {
    const shared = Number(this.#config['plugin.choria.network.leafnode_port']);
    const host = shared > 0 ? loopbackOf(this.#config['plugin.choria.network.listen_address']) : '127.0.0.1';
    return { host, port: () => (shared > 0 ? shared : (this.#ownLeafPort ?? 0)) };
  }

  async #keptLeafPort(): Promise<number> {
    const isRunning = (await this.#host.processes.list()).some(({ id }) => id === fleetServerId);
    return keptPort(join(this.#host.stateFolder ?? '.', 'leaf-port'), isRunning);
  }

  #fleetServer(program: string, tls: BrokerPlan['tls']): WatchedServer {
    const config = this.#config;
    return new WatchedServer(this.#host, {
      id: fleetServerId,
      title: 'nats-server',
      program,
      listen: config['plugin.choria.network.listen_address'],
      port: config['plugin.choria.network.client_port'],
      portKey: 'plugin.choria.network.client_port',
      monitorFile: 'monitor-port',
      configuration: (monitorPort) => brokerConfiguration(this.#plan(tls, monitorPort)),
    });
  }

  #tellNumbers(fleet: WatchedServer): Promise<void> {
    const streams = this.#config['plugin.choria.network.stream.store'] !== undefined;
    return tellNumbers(this.#host.metrics, fleet.monitorPort, machineIdentity(this.#config.identity), streams);
  }

  #plan(tls: BrokerPlan['tls'], monitorPort: number): BrokerPlan {
    const config = this.#config;
    const store = config['plugin.choria.network.stream.store'];
    if (store !== undefined) mkdirSync(store, { recursive: true, mode: 0o700 });
    const password = config['plugin.choria.network.system.password'];
    const clusterPort = config['plugin.choria.network.peer_port'];
    const links = readLinks(config as unknown as Readonly<Record<string, unknown>>, tls);
    const peers = clusterPort === 0 ? [] : (config['plugin.choria.network.peers'] ?? []);
    if (links.gateways && store !== undefined && peers.length === 0)
      throw new PluginError(
        'UNAVAILABLE',
        'a single broker can not keep streams beside gateways; join by leaf nodes (plugin.choria.network.leafnode_port), or leave out plugin.choria.network.stream.store',
      );
    return {
      name: machineIdentity(config.identity),
      listen: config['plugin.choria.network.listen_address'],
      port: config['plugin.choria.network.client_port'],
      monitorPort,
      tls: { ...tls, timeoutMs: config['plugin.choria.network.tls_timeout'] },
      writeDeadlineMs: config['plugin.choria.network.write_deadline'],
      store,
      system: password === undefined ? undefined : { user: config['plugin.choria.network.system.user'], password },
      cluster:
        clusterPort === 0
          ? undefined
          : {
              port: clusterPort,
              peers,
              user: config['plugin.choria.network.peer_user'],
              password: config['plugin.choria.network.peer_password'],
            },
      links,
      ...(this.#ownLeafPort !== undefined && { ownLeafPort: this.#ownLeafPort }),
    };
  }
}
