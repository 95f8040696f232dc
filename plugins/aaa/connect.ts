// The service's own connection to the fleet's brokers.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { type BrokerConfig, findBrokers } from '../wire/brokers.ts';
import { openLasting } from '../wire/lasting-connection.ts';
import { ownConnection } from '../wire/own-connection.ts';

export const connection = 'aaa';

/** Made in the background: logins and signatures over HTTP work while the brokers are away. @returns the identity */
export async function connect(host: Host, config: BrokerConfig): Promise<string> {
  const { identity, spec } = await ownConnection(host, 'server', 'aaa');
  await openLasting(host, { connection, ...spec }, () => findBrokers(config, process.env));
  return identity;
}
