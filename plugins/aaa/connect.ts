// The service's own connection to the fleet's brokers.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { type BrokerConfig, findBrokers } from '../wire/brokers.ts';
import { openLasting } from '../wire/lasting-connection.ts';

export const connection = 'aaa';

export interface ConnectConfig extends BrokerConfig {
  readonly 'plugin.choria.network.connect_timeout': number;
  readonly 'plugin.muster.security': string;
  readonly 'plugin.nats.user'?: string;
  readonly 'plugin.nats.pass'?: string;
}

interface Own {
  readonly identity: string;
  readonly certname: string;
  readonly tls?: object;
  readonly token?: string;
}

/** Made in the background: logins and signatures over HTTP work while the brokers are away. @returns the identity */
export async function connect(host: Host): Promise<string> {
  const config = host.config as unknown as ConnectConfig;
  const { 'plugin.nats.user': user, 'plugin.nats.pass': password, 'plugin.muster.security': security } = config;
  const own = (await host.plugins.call('security', security, 'security/identity', { role: 'server' })) as Own;
  const spec = {
    connection,
    name: `${own.certname} aaa`,
    connectTimeoutMs: config['plugin.choria.network.connect_timeout'],
    ...(own.tls && { tls: own.tls }),
    ...(own.token !== undefined && { token: own.token }),
    ...(user !== undefined && password !== undefined && { user, password }),
  };
  await openLasting(host, spec, () => findBrokers(config, process.env));
  return own.identity;
}
