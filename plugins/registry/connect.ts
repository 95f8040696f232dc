// The registry's own connection, of the service and of the source.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { type BrokerConfig, findBrokers } from '../wire/brokers.ts';
import { openLasting } from '../wire/lasting-connection.ts';
import { ownConnection } from '../wire/own-connection.ts';
import { connection } from './record.ts';

/** @param wait whether to wait until it is connected, and to fail if it can't be */
export async function connect(host: Host, role: 'server' | 'client', wait: boolean): Promise<void> {
  const own = await ownConnection(host, role, 'registry');
  const spec = { connection, ...own.spec };
  const find = () => findBrokers(host.config as unknown as BrokerConfig, process.env);
  if (!wait) return void (await openLasting(host, spec, find));
  const { urls, ordered } = await find();
  await host.bus.open({ ...spec, servers: urls, keepOrder: ordered });
}
