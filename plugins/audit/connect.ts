// The connection of audits, of the auditor and of the search.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { type BrokerConfig, brokerUrls, findBrokers } from '../wire/brokers.ts';
import { ownConnection } from '../wire/own-connection.ts';

export const connection = 'audit';

export interface ConnectSpec {
  /** Without any, those of the fleet. */
  readonly servers: readonly string[];
  readonly role: 'server' | 'client';
  /** Whether to wait until it is connected, and to fail if it can't be. */
  readonly wait: boolean;
}

export async function connectAudit(host: Host, { servers, role, wait }: ConnectSpec): Promise<void> {
  const config = host.config as unknown as BrokerConfig;
  const { spec } = await ownConnection(host, role, 'audit');
  const urls = servers.length > 0 ? brokerUrls(servers) : (await findBrokers(config, process.env)).urls;
  await host.bus.open({ connection, servers: urls, wait, ...spec });
}
