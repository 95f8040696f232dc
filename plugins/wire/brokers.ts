// Which brokers there are: as configured, else as DNS tells.

import { lookUpServices, type ResolveSrv, type SrvConfig, srvDomain } from './srv.ts';

const memberServices = ['_mcollective-server._tcp', '_x-puppet-mcollective._tcp'];
export const federationServices = ['_mcollective-federation_server._tcp', '_x-puppet-mcollective_federation._tcp'];
const fallback = 'nats://puppet:4222';

export interface BrokerConfig extends SrvConfig {
  readonly 'plugin.choria.middleware_hosts'?: readonly string[];
  readonly 'plugin.choria.federation_middleware_hosts'?: readonly string[];
}

export interface Brokers {
  /** As URLs, in the order in which they are to be tried if `ordered`. */
  readonly urls: readonly string[];
  readonly from: 'configuration' | 'DNS' | 'nowhere';
  readonly ordered: boolean;
  /** Name servers that failed. */
  readonly problems: readonly string[];
  /** Names that DNS was asked for. */
  readonly asked: number;
}

/** `host:port` or URLs as client libraries want them. */
export function brokerUrls(hosts: readonly string[]): string[] {
  return hosts.map((host) => (host.includes('://') ? host : `nats://${host}`));
}

/** The brokers of a network, which are `puppet:4222` if nothing tells. */
export async function findBrokers(config: BrokerConfig, environment: NodeJS.ProcessEnv, resolve?: ResolveSrv): Promise<Brokers> {
  const found = await find(config['plugin.choria.middleware_hosts'], memberServices, config, environment, resolve);
  return found.urls.length > 0 ? found : { ...found, urls: [fallback] };
}

/** The brokers of a federation; none if nothing tells. */
export function findFederationBrokers(
  config: BrokerConfig,
  environment: NodeJS.ProcessEnv,
  resolve?: ResolveSrv,
): Promise<Brokers> {
  return find(config['plugin.choria.federation_middleware_hosts'], federationServices, config, environment, resolve);
}

async function find(
  configured: readonly string[] | undefined,
  services: readonly string[],
  config: BrokerConfig,
  environment: NodeJS.ProcessEnv,
  resolve: ResolveSrv | undefined,
): Promise<Brokers> {
  if (configured && configured.length > 0)
    return { urls: brokerUrls(configured), from: 'configuration', ordered: false, problems: [], asked: 0 };
  const domain = config['plugin.choria.use_srv'] ? srvDomain(config, environment) : undefined;
  const { servers, problems, asked } =
    domain === undefined ? { servers: [], problems: [], asked: 0 } : await lookUpServices(services, domain, resolve);
  const urls = servers.map(({ host, port }) => `nats://${host}:${port}`);
  return { urls, from: urls.length > 0 ? 'DNS' : 'nowhere', ordered: true, problems, asked };
}
