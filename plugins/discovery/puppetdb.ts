// Nodes from PuppetDB, asked over HTTPS with the client's certificates.

import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { type Call, definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { lookUpServices, type ResolveSrv, type SrvConfig, srvDomain } from '../wire/srv.ts';
import { pqlOf } from './pql.ts';
import { type DiscoverParams, DiscoveryError, type Found, refuseOtherOptions } from './request.ts';

const maxAnswerBytes = 256 * 1024 * 1024;
const defaultHost = 'puppet';

interface Config extends SrvConfig {
  readonly 'plugin.choria.puppetdb_host'?: string;
  readonly 'plugin.choria.puppetdb_port': number;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

interface Tls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export default definePlugin({
  kind: 'discovery',
  version: '1.0.0',
  create: (host: Host) => ({
    methods: {
      'discovery/discover': async (params: DiscoverParams, call: Call): Promise<Found> => {
        refuseOtherOptions('puppetdb', params, []);
        const known = namesOnly(params);
        if (known) return { nodes: known.map((identity) => ({ identity })) };
        const query = pqlOf(params.filter, params.collective);
        const config = host.config as unknown as Config;
        const address = await addressOf(config, srvDomain(config, process.env));
        const { tls } = (await host.plugins.call('security', 'x509', 'security/identity', { role: 'client' }, { for: call })) as {
          tls: Tls;
        };
        return { nodes: readAnswer(await ask(address, query, tls, params.timeoutMs, call.signal), address) };
      },
    },
  }),
});

/** Names need not be looked up. */
function namesOnly({ filter: { identity, fact, cf_class, compound } }: DiscoverParams): readonly string[] | undefined {
  if (identity.length === 0 || fact.length + cf_class.length + compound.length > 0) return undefined;
  return identity.some((name) => /^\/|^(pql|group):/.test(name)) ? undefined : identity;
}

/** The configured server; else the first that DNS names; else `puppet`. */
export async function addressOf(config: Config, domain: string | undefined, resolve?: ResolveSrv): Promise<Address> {
  const port = config['plugin.choria.puppetdb_port'];
  const host = config['plugin.choria.puppetdb_host'];
  if (host) return { host, port };
  if (!config['plugin.choria.use_srv'] || domain === undefined) return { host: defaultHost, port };
  const { name = '', servers } = await lookUpServices(['_x-puppet-db._tcp', '_x-puppet._tcp'], domain, resolve);
  const [first] = servers;
  // What serves Puppet serves PuppetDB at another port.
  return first ? { host: first.host, port: name.includes('-db') ? first.port : port } : { host: defaultHost, port };
}

function ask({ host, port }: Address, query: string, tls: Tls, timeoutMs: number, signal: AbortSignal): Promise<string> {
  const where = `PuppetDB at ${host}:${port}`;
  const limit = AbortSignal.timeout(Math.max(1, timeoutMs));
  return new Promise((resolve, reject) => {
    const fail = (problem: string, cause?: unknown) => reject(new DiscoveryError(`${where} ${problem}`, { cause }));
    const sent = request(
      {
        host,
        port,
        path: `/pdb/query/v4?query=${encodeURIComponent(query)}`,
        headers: { accept: 'application/json' },
        cert: readFileSync(tls.cert),
        key: readFileSync(tls.key),
        ca: readFileSync(tls.ca),
        signal: AbortSignal.any([signal, limit]),
      },
      (response) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        response.on('data', (part: Buffer) => {
          parts.push(part);
          bytes += part.length;
          if (bytes > maxAnswerBytes) response.destroy(new Error(`sent more than ${maxAnswerBytes} bytes`));
        });
        response.on('error', (error) => fail(`broke off its answer: ${error.message}`, error));
        response.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8');
          if (response.statusCode === 200) resolve(text);
          else fail(`answered ${response.statusCode}: ${text.slice(0, 200).trim()} to the query ${query}`);
        });
      },
    );
    sent.on('error', (error) => {
      if (signal.aborted) reject(signal.reason as Error);
      else if (limit.aborted) fail(`did not answer within ${timeoutMs / 1000} s; --discovery-timeout gives it more`, error);
      else fail(`can not be asked: ${error.message}`, error);
    });
    sent.end();
  });
}

function readAnswer(text: string, { host, port }: Address): { identity: string }[] {
  let rows: unknown;
  try {
    rows = JSON.parse(text) as unknown;
  } catch {
    rows = undefined;
  }
  if (!Array.isArray(rows)) throw new DiscoveryError(`PuppetDB at ${host}:${port} answered no list: ${text.slice(0, 60)}`);
  return rows.flatMap(({ certname, deactivated }: { certname?: unknown; deactivated?: unknown }) =>
    typeof certname === 'string' && !deactivated ? [{ identity: certname }] : [],
  );
}
