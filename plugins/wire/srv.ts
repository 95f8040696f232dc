// Services as DNS names them, by SRV records.

import dns from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { hostname } from 'node:os';

/** A name server that is silent is given up after this time, this many times. */
const [timeoutMs, tries] = [2_000, 2];

export interface SrvRecord {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

export type ResolveSrv = (name: string) => Promise<readonly SrvRecord[]>;

export interface SrvConfig {
  readonly identity?: string;
  readonly 'plugin.choria.use_srv': boolean;
  readonly 'plugin.choria.srv_domain'?: string;
}

/** What the first name that resolves has, in the order in which it is to be used; and what went wrong on the way. */
export interface LookedUp {
  readonly name?: string;
  readonly servers: readonly { readonly host: string; readonly port: number }[];
  readonly problems: readonly string[];
  /** Names that were asked for. */
  readonly asked: number;
}

/** The domain of SRV records: of the environment, as configured, or that which this machine is in. None if it is in none. */
export function srvDomain(config: SrvConfig, environment: NodeJS.ProcessEnv): string | undefined {
  const configured = environment.CHORIA_SRV_DOMAIN || config['plugin.choria.srv_domain'];
  if (configured) return configured;
  return /^[^.]+\.(.+)$/.exec(config.identity ?? hostname())?.[1];
}

/** The first of these services that the domain has. Records that do not exist are no problem, name servers that fail are. */
export async function lookUpServices(
  services: readonly string[],
  domain: string,
  resolve: ResolveSrv = resolveSrv,
  random: () => number = Math.random,
): Promise<LookedUp> {
  const problems: string[] = [];
  for (const [index, service] of services.entries()) {
    const name = `${service}.${domain}`;
    try {
      const servers = inOrder(await resolve(name), random).map((record) => ({
        host: record.name.replace(/\.$/, ''),
        port: record.port,
      }));
      if (servers.length > 0) return { name, servers, problems, asked: index + 1 };
    } catch (error) {
      const { code = 'EUNKNOWN', message } = error as NodeJS.ErrnoException;
      if (code !== 'ENOTFOUND' && code !== 'ENODATA') problems.push(message);
    }
  }
  return { servers: [], problems, asked: services.length };
}

/** Lowest priority first; among equals by lot, a heavy one more often before a light one (RFC 2782). */
function inOrder(records: readonly SrvRecord[], random: () => number): SrvRecord[] {
  const lots = new Map(records.map((record) => [record, random() ** (1 / Math.max(record.weight, 0.01))]));
  return [...records].sort((a, b) => a.priority - b.priority || (lots.get(b) ?? 0) - (lots.get(a) ?? 0));
}

/** Asks the name servers of this process, with less patience than is usual. A target of "." says that there is no service. */
async function resolveSrv(name: string): Promise<SrvRecord[]> {
  const resolver = new Resolver({ timeout: timeoutMs, tries });
  // Read from the module at each call: its functions are others once a program has set its name servers.
  const servers = dns.getServers();
  if (servers.length > 0) resolver.setServers(servers);
  return (await resolver.resolveSrv(name)).filter((record) => record.name !== '' && record.name !== '.');
}
