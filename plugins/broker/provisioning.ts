// The second nats-server: for nodes that have no certificate yet, and so can not share a listener with mutual TLS.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { machineIdentity } from '../wire/identity.ts';
import { type Login, provisioningConfiguration } from './provisioning-configuration.ts';
import { WatchedServer } from './server.ts';

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
  readonly 'plugin.muster.broker.provisioning.node_user'?: string;
  readonly 'plugin.muster.broker.provisioning.node_password'?: string;
}

const portKey = 'plugin.choria.network.provisioning.port';
const passwordKey = 'plugin.choria.network.provisioning.client_password';
const own = 'plugin.muster.broker.provisioning';
const provisionerUser = 'provisioner';

/** @returns undefined where none is wanted. @throws PluginError that names the key to set */
export function provisioningServer(
  host: Host,
  config: ProvisioningConfig,
  program: string,
  tls: { readonly cert: string; readonly key: string },
): WatchedServer | undefined {
  const port = config[portKey];
  if (port === 0) return undefined;
  const password = config[passwordKey];
  if (!password) throw refused(`the provisioner needs a password to connect to the port for provisioning; set ${passwordKey}`);
  const node = nodeLogin(config);
  if (!node)
    host.log.warn(
      `no node can connect to the port for provisioning; set ${own}.node_user and ${own}.node_password to what tokens carry as chusr and chpwd`,
    );
  if (!config[`${own}.tls`])
    host.log.warn(
      `the port for provisioning is WITHOUT TLS: tokens and passwords cross the network readable, and Choria's nodes do not connect at all; remove ${own}.tls`,
    );
  const store = storeFolder(host, config);
  return new WatchedServer(host, {
    id: 'nats-server-provisioning',
    title: 'nats-server for provisioning',
    program,
    listen: config['plugin.choria.network.listen_address'],
    port,
    portKey,
    monitorFile: 'monitor-port-provisioning',
    configuration: (monitorPort) =>
      provisioningConfiguration({
        name: machineIdentity(config.identity),
        listen: config['plugin.choria.network.listen_address'],
        port,
        monitorPort,
        tls: config[`${own}.tls`] ? { ...tls, timeoutMs: config['plugin.choria.network.tls_timeout'] } : undefined,
        writeDeadlineMs: config['plugin.choria.network.write_deadline'],
        store,
        maxConnections: config[`${own}.max_connections`],
        provisioner: { user: provisionerUser, password },
        node,
      }),
  });
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
