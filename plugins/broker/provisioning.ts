// The second nats-server: for nodes that have no certificate yet, and so can not share a listener with mutual TLS.

import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { machineIdentity } from '../wire/identity.ts';
import { CalloutConnection } from './callout/connection.ts';
import { connectionMonitor } from './callout/monitor.ts';
import { Names } from './callout/names.ts';
import { accountName } from './callout/nkeys.ts';
import { provisioningGrants } from './callout/provisioning-nodes.ts';
import { type CalloutSecrets, calloutSecrets } from './callout/secrets.ts';
import { readTrustedKeys, TokenCheck, type TrustedKeys } from './callout/tokens.ts';
import { calloutVersion, isAtLeast, programVersion } from './program.ts';
import { type Login, type ProvisioningPlan, provisioningConfiguration } from './provisioning-configuration.ts';
import { type ServerOptions, WatchedServer } from './server.ts';

export interface ProvisioningConfig {
  readonly identity?: string;
  readonly 'plugin.choria.network.listen_address': string;
  readonly 'plugin.choria.network.tls_timeout': number;
  readonly 'plugin.choria.network.write_deadline': number;
  readonly 'plugin.choria.network.stream.store'?: string;
  readonly 'plugin.choria.network.provisioning.port': number;
  readonly 'plugin.choria.network.provisioning.client_password'?: string;
  readonly 'plugin.choria.network.provisioning.signer_cert'?: string;
  readonly 'plugin.muster.broker.provisioning.tls': boolean;
  readonly 'plugin.muster.broker.provisioning.store'?: string;
  readonly 'plugin.muster.broker.provisioning.max_connections': number;
  readonly 'plugin.muster.broker.provisioning.connection_rate': number;
  readonly 'plugin.muster.broker.provisioning.node_user'?: string;
  readonly 'plugin.muster.broker.provisioning.node_password'?: string;
}

/** The connection over which the callout answers. */
const connection = 'callout';
const account = 'provisioning';
const calloutUser = 'callout';
/** Where all come at once each waits for the others. */
const handshakeMs = 20_000;
/** More at once than a core can do in the time that nodes wait, and none of them would get through. */
const ratePerCore = 250;
const portKey = 'plugin.choria.network.provisioning.port';
const passwordKey = 'plugin.choria.network.provisioning.client_password';
const own = 'plugin.muster.broker.provisioning';
const signerKey = 'plugin.choria.network.provisioning.signer_cert';
const provisionerUser = 'provisioner';

/** How nodes are told apart: each by its token, or all by one password. */
interface Admission {
  readonly node: Login | undefined;
  readonly callout: { readonly secrets: CalloutSecrets; readonly keys: TrustedKeys } | undefined;
}

export class ProvisioningBroker {
  readonly server: WatchedServer;
  readonly #host: Host;
  readonly #config: ProvisioningConfig;
  readonly #admission: Admission;
  #callout: CalloutConnection | undefined;

  private constructor(host: Host, config: ProvisioningConfig, admission: Admission, options: ServerOptions) {
    this.#host = host;
    this.#config = config;
    this.#admission = admission;
    this.server = new WatchedServer(host, options);
  }

  /** @returns undefined where none is wanted. @throws PluginError that names the key to set */
  static async create(
    host: Host,
    config: ProvisioningConfig,
    program: string,
    tls: { readonly cert: string; readonly key: string },
  ): Promise<ProvisioningBroker | undefined> {
    if (config[portKey] === 0) return undefined;
    const password = config[passwordKey];
    if (!password) throw refused(`the provisioner needs a password to connect to the port for provisioning; set ${passwordKey}`);
    const admission = await admissionOf(host, config, program);
    if (!config[`${own}.tls`])
      host.log.warn(
        `the port for provisioning is WITHOUT TLS: tokens and passwords cross the network readable, and Choria's nodes do not connect at all; remove ${own}.tls`,
      );
    const options = {
      id: 'nats-server-provisioning',
      title: 'nats-server for provisioning',
      program,
      listen: config['plugin.choria.network.listen_address'],
      port: config[portKey],
      portKey,
      monitorFile: 'monitor-port-provisioning',
      configuration: (monitorPort: number) =>
        provisioningConfiguration({
          ...plan(host, config, tls, admission),
          monitorPort,
          provisioner: { user: provisionerUser, password },
        }),
    };
    return new ProvisioningBroker(host, config, admission, options);
  }

  async start(): Promise<void> {
    const { wasRunning } = await this.server.start();
    const { callout } = this.#admission;
    if (!callout) return;
    this.#callout = new CalloutConnection(this.#host, {
      connection,
      account,
      title: 'the port for provisioning',
      issuer: callout.secrets.issuer,
      grants: provisioningGrants(
        new TokenCheck(callout.keys),
        new Names(
          connectionMonitor(() => this.server.monitorPort, account),
          wasRunning,
        ),
        account,
      ),
      listen: this.#config['plugin.choria.network.listen_address'],
      port: this.server.port,
      user: calloutUser,
      password: callout.secrets.password,
      tls: this.#config[`${own}.tls`],
    });
    await this.#callout.open(this.server, wasRunning);
  }

  stop(): void {
    this.server.stop();
  }

  async status(): Promise<{ healthy: boolean; summary: string; details: object }> {
    const { healthy, summary } = await this.server.status();
    const listens = !this.#callout || (healthy && (await this.#callout.isConnected()));
    return {
      healthy: healthy && listens,
      summary: healthy && !listens ? `${summary}, but nobody checks who connects` : summary,
      details: { port: this.server.port, ...(this.#callout && { callout: this.#callout.counts }) },
    };
  }
}

/** By tokens where nats-server can ask and there is a key for them. */
async function admissionOf(host: Host, config: ProvisioningConfig, program: string): Promise<Admission> {
  const version = await programVersion(host, program);
  const keys = trustedKeys(config);
  if (keys && isAtLeast(version, calloutVersion))
    return { node: undefined, callout: { keys, secrets: calloutSecrets(host.stateFolder ?? '.') } };
  const why = keys
    ? `nats-server ${version} is older than ${calloutVersion.join('.')}`
    : `there is no key that verifies provisioning tokens (${signerKey})`;
  host.log.warn(
    `the port for provisioning does not check tokens, and every node there sees what is sent to the others, secrets among it: ${why}`,
  );
  const node = nodeLogin(config);
  if (!node)
    host.log.warn(
      `no node can connect to the port for provisioning; set ${own}.node_user and ${own}.node_password to what tokens carry as chusr and chpwd`,
    );
  return { node, callout: undefined };
}

function trustedKeys(config: ProvisioningConfig): TrustedKeys | undefined {
  try {
    return readTrustedKeys(config as unknown as Readonly<Record<string, unknown>>);
  } catch (error) {
    throw refused((error as Error).message);
  }
}

function plan(
  host: Host,
  config: ProvisioningConfig,
  tls: { readonly cert: string; readonly key: string },
  { node, callout }: Admission,
): Omit<ProvisioningPlan, 'monitorPort' | 'provisioner'> {
  return {
    name: machineIdentity(config.identity),
    listen: config['plugin.choria.network.listen_address'],
    port: config[portKey],
    tls: config[`${own}.tls`]
      ? { ...tls, timeoutMs: Math.max(handshakeMs, config['plugin.choria.network.tls_timeout']) }
      : undefined,
    writeDeadlineMs: config['plugin.choria.network.write_deadline'],
    store: storeFolder(host, config),
    maxConnections: config[`${own}.max_connections`],
    connectionRate: config[`${own}.connection_rate`] || ratePerCore * availableParallelism(),
    node,
    callout: callout && {
      login: { user: calloutUser, password: callout.secrets.password },
      issuer: accountName(callout.secrets.issuer),
    },
  };
}

function nodeLogin(config: ProvisioningConfig): Login | undefined {
  const user = config[`${own}.node_user`];
  const password = config[`${own}.node_password`];
  if (!user && !password) return undefined;
  if (!user || !password)
    throw refused(`nodes log in with a name and a password; set both of ${own}.node_user and .node_password`);
  if (user === provisionerUser)
    throw refused(`'${provisionerUser}' is the user of the provisioner; give nodes another with ${own}.node_user`);
  return { user, password };
}

/** A folder of its own, beside the streams of the fleet. */
function storeFolder(host: Host, config: ProvisioningConfig): string {
  const fleet = config['plugin.choria.network.stream.store'];
  const folder = config[`${own}.store`] ?? join(fleet ?? host.stateFolder ?? '.', 'provisioning');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

function refused(message: string): PluginError {
  return new PluginError('UNAVAILABLE', message);
}
