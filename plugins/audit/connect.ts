// The connection of audits, of the auditor and of the search.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { type BrokerConfig, brokerUrls, findBrokers } from '../wire/brokers.ts';

export const connection = 'audit';

interface Config extends BrokerConfig {
  readonly 'plugin.choria.network.connect_timeout': number;
  readonly 'plugin.muster.security': string;
  readonly 'plugin.nats.user'?: string;
  readonly 'plugin.nats.pass'?: string;
}

interface Own {
  readonly certname: string;
  readonly tls?: object;
  readonly token?: string;
}

export interface ConnectSpec {
  /** Without any, those of the fleet. */
  readonly servers: readonly string[];
  readonly role: 'server' | 'client';
  /** Whether to wait until it is connected, and to fail if it can't be. */
  readonly wait: boolean;
}

export async function connectAudit(host: Host, { servers, role, wait }: ConnectSpec): Promise<void> {
  const config = host.config as unknown as Config;
  const { 'plugin.nats.user': user, 'plugin.nats.pass': password, 'plugin.muster.security': security } = config;
  const own = (await host.plugins.call('security', security, 'security/identity', { role })) as Own;
  const urls = servers.length > 0 ? brokerUrls(servers) : (await findBrokers(config, process.env)).urls;
  await host.bus.open({
    connection,
    servers: urls,
    wait,
    name: `${own.certname} audit`,
    connectTimeoutMs: config['plugin.choria.network.connect_timeout'],
    ...(own.tls && { tls: own.tls }),
    ...(own.token !== undefined && { token: own.token }),
    ...(user !== undefined && password !== undefined && { user, password }),
  });
}
