// Another nats-server, for users and nodes who show a token in place of a certificate, as Choria's do that have one.

import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { machineIdentity } from '../wire/identity.ts';
import { CalloutConnection, loopbackOf } from './callout/connection.ts';
import { type HolderTrust, holderGrants, readHolderTrust } from './callout/holders.ts';
import { openConnections } from './callout/monitor.ts';
import { accountName, userName } from './callout/nkeys.ts';
import { RevokedHolders } from './callout/revoked.ts';
import { type CalloutSecrets, calloutSecrets } from './callout/secrets.ts';
import { jetstreamDomain } from './configuration.ts';
import { calloutVersion, isAtLeast, programVersion } from './program.ts';
import { WatchedServer } from './server.ts';
import { tokenPortConfiguration } from './token-port-configuration.ts';

export interface TokenPortConfig {
  readonly identity?: string;
  readonly 'plugin.choria.network.listen_address': string;
  readonly 'plugin.choria.network.tls_timeout': number;
  readonly 'plugin.choria.network.write_deadline': number;
  readonly 'plugin.muster.broker.token_port': number;
  readonly 'plugin.choria.network.client_port': number;
}

const portKey = 'plugin.muster.broker.token_port';
const account = 'choria';
const calloutUser = 'callout';
const calloutConnection = 'callout-tokens';
/** To the fleet's broker, as whoever has a certificate. */
const fleetConnection = 'fleet';
const maxConnections = 50_000;

export interface TokenPortOptions {
  readonly program: string;
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string };
  /** Where the fleet's broker takes leaf nodes. */
  readonly fleet: { readonly host: string; readonly port: () => number };
}

export class TokenPort {
  readonly server: WatchedServer;
  readonly #host: Host;
  readonly #config: TokenPortConfig;
  readonly #options: TokenPortOptions;
  readonly #callout: CalloutConnection;
  readonly #holders: RevokedHolders;

  private constructor(host: Host, config: TokenPortConfig, options: TokenPortOptions, trust: HolderTrust) {
    [this.#host, this.#config, this.#options] = [host, config, options];
    const secrets = calloutSecrets(host.stateFolder ?? '.');
    this.server = new WatchedServer(host, {
      id: 'nats-server-tokens',
      title: 'nats-server for tokens',
      program: options.program,
      listen: config['plugin.choria.network.listen_address'],
      port: config[portKey],
      portKey,
      monitorFile: 'monitor-port-tokens',
      configuration: (monitorPort) => configurationText(config, options, secrets, monitorPort),
    });
    this.#holders = new RevokedHolders(host, {
      connection: fleetConnection,
      system: calloutConnection,
      trust: trust.clients,
      connections: () => openConnections(this.server.monitorPort, account),
    });
    const entrance = { account, domain: jetstreamDomain(machineIdentity(config.identity)) };
    this.#callout = new CalloutConnection(host, {
      connection: calloutConnection,
      account,
      title: 'the port for tokens',
      issuer: secrets.issuer,
      grants: holderGrants(trust, entrance, this.#holders),
      listen: config['plugin.choria.network.listen_address'],
      port: config[portKey],
      user: calloutUser,
      password: secrets.password,
      tls: true,
    });
  }

  /** @returns undefined where none is wanted. @throws PluginError that names the key to set */
  static async create(host: Host, config: TokenPortConfig, options: TokenPortOptions): Promise<TokenPort | undefined> {
    if (config[portKey] === 0) return undefined;
    const trust = trustOf(config);
    const version = await programVersion(host, options.program);
    if (isAtLeast(version, calloutVersion)) return new TokenPort(host, config, options, trust);
    throw refused(
      `${portKey} needs nats-server ${calloutVersion.join('.')} or later, which asks who shows a token; ${options.program} is ${version}`,
    );
  }

  async start(): Promise<void> {
    const { wasRunning } = await this.server.start();
    await this.#callout.open(this.server, wasRunning);
    const listen = this.#config['plugin.choria.network.listen_address'];
    await this.#host.bus.open({
      connection: fleetConnection,
      servers: [`${loopbackOf(listen)}:${this.#config['plugin.choria.network.client_port']}`],
      name: 'token-port',
      wait: false,
      // It does not leave this machine, and the certificate need not name the address that it listens on.
      tls: { ...this.#options.tls, rejectUnauthorized: false },
    });
    await this.#holders.start();
  }

  stop(): void {
    this.server.stop();
  }

  async status(): Promise<{ healthy: boolean; summary: string; details: object }> {
    const { healthy, summary } = await this.server.status();
    const listens = healthy && (await this.#callout.isConnected());
    return {
      healthy: listens,
      summary: healthy && !listens ? `${summary}, but nobody checks who connects` : summary,
      details: { port: this.server.port, callout: this.#callout.counts },
    };
  }
}

function configurationText(
  config: TokenPortConfig,
  { tls, fleet }: TokenPortOptions,
  { issuer, password }: CalloutSecrets,
  monitorPort: number,
): string {
  return tokenPortConfiguration({
    name: machineIdentity(config.identity),
    listen: config['plugin.choria.network.listen_address'],
    port: config[portKey],
    monitorPort,
    tls: { ...tls, timeoutMs: config['plugin.choria.network.tls_timeout'] },
    writeDeadlineMs: config['plugin.choria.network.write_deadline'],
    maxConnections,
    fleet: { host: fleet.host, port: fleet.port(), account },
    callout: { login: { user: calloutUser, password }, issuer: accountName(issuer) },
    nonceUser: userName(issuer),
  });
}

function trustOf(config: TokenPortConfig): HolderTrust {
  let trust: HolderTrust | undefined;
  try {
    trust = readHolderTrust(config as unknown as Readonly<Record<string, unknown>>);
  } catch (error) {
    throw refused((error as Error).message);
  }
  if (trust) return trust;
  throw refused(
    `${portKey} lets nobody in, since nobody's tokens are trusted; set plugin.security.issuer.names, or plugin.choria.network.client_signer_cert and server_signer_cert`,
  );
}

function refused(message: string): PluginError {
  return new PluginError('UNAVAILABLE', message);
}
