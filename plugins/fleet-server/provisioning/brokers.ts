// Where the provisioning network is: as the token says, by DNS, or as a plugin knows it.

import type { Host } from '../../../core/sdk/typescript/index.ts';
import { type Brokers, brokerUrls } from '../../wire/brokers.ts';
import { provisioningServices } from '../../wire/provisioning/mode.ts';
import { lookUpServices, type ResolveSrv } from '../../wire/srv.ts';
import type { NodeConfig } from '../config.ts';

/** While none can be reached. */
export const lookUpAgain = { firstMs: 500, mostMs: 20_000 } as const;

/** Asked again and again while none can be reached, so that it may come up later than the node. */
export async function findProvisioningBrokers(host: Host, config: NodeConfig, resolve?: ResolveSrv): Promise<Brokers> {
  const {
    'plugin.muster.provisioning.target': plugin,
    'plugin.muster.provisioning.srv': domain,
    'plugin.choria.middleware_hosts': hosts = [],
  } = config;
  if (plugin !== undefined) return ask(host, plugin);
  if (domain === undefined) return { urls: brokerUrls(hosts), from: 'configuration', ordered: false, problems: [], asked: 0 };
  const { servers, problems, asked } = await lookUpServices(provisioningServices, domain, resolve);
  const urls = servers.map(({ host: name, port }) => `nats://${name}:${port}`);
  return found(urls, problems, `${provisioningServices[0]}.${domain}`, asked);
}

async function ask(host: Host, plugin: string): Promise<Brokers> {
  try {
    const { servers } = (await host.plugins.call('provisioning-target', plugin, 'target/find', {})) as {
      servers: readonly string[];
    };
    return found(brokerUrls(servers), [], plugin, 0);
  } catch (error) {
    return found([], [`${plugin}: ${(error as Error).message}`], plugin, 0);
  }
}

/**
 * A connection needs an address to begin with. While there is none it is the name that was asked for, which says in the log what
 * is missing; the token is shown to nobody but those who were named.
 */
function found(urls: readonly string[], problems: readonly string[], asked: string, lookups: number): Brokers {
  const known = urls.length > 0 ? urls : [`nats://${asked}:4222`];
  return { urls: known, from: 'DNS', ordered: true, problems, asked: lookups };
}
