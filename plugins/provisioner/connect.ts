// The connections of a provisioner, and of the commands that ask it.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { findBrokers } from '../wire/brokers.ts';
import { machineIdentity } from '../wire/identity.ts';
import { openLasting } from '../wire/lasting-connection.ts';
import type { ProvisionerConfig, Settings } from './config.ts';
import { connection, type Who } from './node-rpc.ts';

export const overlay = 'overlay';

interface Own {
  readonly identity: string;
  readonly certname: string;
  readonly callerid: string;
  readonly tls: object | undefined;
}

/** The service waits for its brokers as long as it takes. */
export async function connectService(host: Host, config: ProvisionerConfig, settings: Settings): Promise<Who> {
  const own = await credentials(host, config, settings);
  const { login, shared } = specOf(own, config, settings);
  await openLasting(host, { ...shared, ...login, connection }, () => findBrokers(config, process.env));
  const { overlayUrls, insecure } = settings;
  if (overlayUrls.length > 0) await host.bus.open({ ...shared, connection: overlay, servers: overlayUrls, wait: false });
  return { identity: own.identity, callerid: own.callerid, insecure };
}

/** A command does not. @throws PluginError `UNAVAILABLE` */
export async function connectCommand(host: Host, config: ProvisionerConfig, settings: Settings): Promise<void> {
  const { login, shared } = specOf(await credentials(host, config, settings), config, settings);
  const { urls, ordered } = await findBrokers(config, process.env);
  await host.bus.open({ ...shared, ...login, connection, servers: urls, keepOrder: ordered });
}

async function credentials(host: Host, config: ProvisionerConfig, { insecure }: Settings): Promise<Own> {
  const identity = machineIdentity(config.identity);
  if (insecure) return { identity, certname: identity, callerid: `choria=${identity}`, tls: undefined };
  return (await host.plugins.call('security', 'x509', 'security/identity', { role: 'server' })) as Own;
}

function specOf({ certname, tls }: Own, config: ProvisionerConfig, { brokerPassword }: Settings) {
  const { 'plugin.nats.user': user, 'plugin.nats.pass': password } = config;
  const own = user !== undefined && password !== undefined ? { user, password } : {};
  return {
    login: brokerPassword === undefined ? own : { user: 'provisioner', password: brokerPassword },
    shared: {
      name: certname,
      connectTimeoutMs: config['plugin.choria.network.connect_timeout'] ?? 2_000,
      ...(tls && { tls }),
    },
  };
}
