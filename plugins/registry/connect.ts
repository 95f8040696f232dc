// The registry's own connection, of the service and of the source.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { type BrokerConfig, findBrokers } from '../wire/brokers.ts';
import { openLasting } from '../wire/lasting-connection.ts';
import { connection } from './record.ts';

interface Config extends BrokerConfig {
  readonly 'plugin.choria.network.connect_timeout': number;
  readonly 'plugin.nats.user'?: string;
  readonly 'plugin.nats.pass'?: string;
}

/** @param wait whether to wait until it is connected, and to fail if it can't be */
export async function connect(host: Host, role: 'server' | 'client', wait: boolean): Promise<void> {
  const { certname, tls } = (await host.plugins.call('security', 'x509', 'security/identity', { role })) as {
    certname: string;
    tls: object;
  };
  const config = host.config as unknown as Config;
  const { 'plugin.nats.user': user, 'plugin.nats.pass': password } = config;
  const spec = {
    connection,
    name: `${certname} registry`,
    tls,
    connectTimeoutMs: config['plugin.choria.network.connect_timeout'],
    ...(user !== undefined && password !== undefined && { user, password }),
  };
  const find = () => findBrokers(config, process.env);
  if (!wait) return void (await openLasting(host, spec, find));
  const { urls, ordered } = await find();
  await host.bus.open({ ...spec, servers: urls, keepOrder: ordered });
}
