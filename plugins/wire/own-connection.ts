// What a service shows a broker: its certificate or token, and what the configuration adds.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { type SecurityChoice, securityPlugin } from './security-plugin.ts';

interface Config extends SecurityChoice {
  readonly 'plugin.choria.network.connect_timeout'?: number;
  readonly 'plugin.nats.user'?: string;
  readonly 'plugin.nats.pass'?: string;
}

interface Own {
  readonly identity: string;
  readonly certname: string;
  readonly tls?: object;
  readonly token?: string;
  readonly seed?: string;
}

const usualTimeoutMs = 2_000;

export interface OwnConnection {
  readonly identity: string;
  /** All that `bus.open` wants, but for the name of the connection and the servers. */
  readonly spec: {
    readonly name: string;
    readonly connectTimeoutMs: number;
    readonly tls?: object;
    readonly token?: string;
    readonly seed?: string;
    readonly user?: string;
    readonly password?: string;
  };
}

/**
 * @param what the connection is for, which its name tells
 * @throws PluginError of the security plugin, for credentials that are missing or of no use
 */
export async function ownConnection(host: Host, role: 'server' | 'client', what: string): Promise<OwnConnection> {
  const config: Config = host.config;
  const own = (await host.plugins.call('security', securityPlugin(config), 'security/identity', { role })) as Own;
  const { identity, certname, tls, token, seed } = own;
  const { 'plugin.nats.user': user, 'plugin.nats.pass': password } = config;
  return {
    identity,
    spec: {
      name: `${certname} ${what}`,
      connectTimeoutMs: config['plugin.choria.network.connect_timeout'] ?? usualTimeoutMs,
      ...(tls && { tls }),
      ...(token !== undefined && { token }),
      ...(seed !== undefined && { seed }),
      ...(user !== undefined && password !== undefined && { user, password }),
    },
  };
}
