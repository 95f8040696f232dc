// The text of a nats-server configuration. A pure function: every value is quoted, so that none can end its string.

import type { Links, Remote, RemoteTls } from './links.ts';

export interface BrokerPlan {
  readonly name: string;
  readonly listen: string;
  readonly port: number;
  /** Port for health checks, on 127.0.0.1 only. */
  readonly monitorPort: number;
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string; readonly timeoutMs: number };
  readonly writeDeadlineMs: number;
  readonly store?: string | undefined;
  readonly system?: { readonly user: string; readonly password: string } | undefined;
  readonly cluster?:
    | {
        readonly port: number;
        readonly peers: readonly string[];
        readonly user?: string | undefined;
        readonly password?: string | undefined;
      }
    | undefined;
  readonly links: Links;
  /** Port on 127.0.0.1 for another server of this bundle, which is a leaf node of this one. */
  readonly ownLeafPort?: number;
}

const maxConnections = 50_000;

/** Mutual TLS for everybody; the account `choria` for all whose certificate is good; `system` with a password. */
export function brokerConfiguration(plan: BrokerPlan): string {
  const { tls, store, system, cluster, links } = plan;
  const tlsBlock = `{ cert_file: ${quote(tls.cert)}, key_file: ${quote(tls.key)}, ca_file: ${quote(tls.ca)}, verify: true, timeout: ${tls.timeoutMs / 1000} }`;
  return [
    `server_name: ${quote(plan.name)}`,
    `host: ${quote(plan.listen)}`,
    `port: ${plan.port}`,
    `http: ${quote(`127.0.0.1:${plan.monitorPort}`)}`,
    `max_connections: ${maxConnections}`,
    `write_deadline: ${quote(`${plan.writeDeadlineMs}ms`)}`,
    `tls ${tlsBlock}`,
    ...(store === undefined ? [] : [jetstreamBlock(store, plan)]),
    'accounts {',
    // Whoever brings a good certificate and no user name becomes `fleet`.
    `  choria { ${store === undefined ? '' : 'jetstream: enabled, '}users: [{ user: "fleet", password: "" }] }`,
    `  system { ${system ? `users: [{ user: ${quote(system.user)}, password: ${quote(system.password)} }]` : ''} }`,
    '}',
    'system_account: system',
    'no_auth_user: fleet',
    ...(cluster ? [clusterBlock(cluster, links.cluster, tlsBlock)] : []),
    ...leafnodes(plan, tlsBlock),
    ...(links.gateways ? [gatewayBlock(links.gateways, plan, tlsBlock)] : []),
    '',
  ].join('\n');
}

/** Streams of overlays that are joined stay apart: each works alone when it is cut off, so the domain is the broker's own. */
function jetstreamBlock(store: string, { name, links, ownLeafPort }: BrokerPlan): string {
  const domain = links.leafnodes || ownLeafPort !== undefined ? `, domain: ${quote(jetstreamDomain(name))}` : '';
  return `jetstream { store_dir: ${quote(store)}${domain} }`;
}

export function jetstreamDomain(brokerName: string): string {
  return brokerName.replaceAll(/[^\w-]/g, '-');
}

/** Those of other overlays, or only the one of this machine. */
function leafnodes({ links, listen, ownLeafPort }: BrokerPlan, tlsBlock: string): string[] {
  const { leafnodes: joined } = links;
  // Where leaf nodes of others come in, so does the own one.
  if (ownLeafPort === undefined || (joined && joined.port > 0)) return joined ? [leafnodesBlock(joined, listen, tlsBlock)] : [];
  return [leafnodesBlock({ remotes: [], ...joined, port: ownLeafPort }, '127.0.0.1', tlsBlock)];
}

/** Whoever brings a good certificate to the port becomes part of the account `choria`. */
function leafnodesBlock({ port, remotes }: NonNullable<Links['leafnodes']>, listen: string, tlsBlock: string): string {
  const listener =
    port === 0
      ? []
      : [`host: ${quote(listen)}`, `port: ${port}`, 'no_advertise: true', `tls ${tlsBlock}`, 'authorization { account: choria }'];
  const entries = remotes.map(({ account, credentials, ...remote }) =>
    remoteBlock(remote, [
      `account: ${quote(account)}`,
      ...(credentials === undefined ? [] : [`credentials: ${quote(credentials)}`]),
    ]),
  );
  return `leafnodes { ${[...listener, `remotes: [${entries.join(', ')}]`].join(', ')} }`;
}

function gatewayBlock(
  { port, remotes }: NonNullable<Links['gateways']>,
  { listen, links }: BrokerPlan,
  tlsBlock: string,
): string {
  const entries = remotes.map((remote) => remoteBlock(remote, [`name: ${quote(remote.name)}`]));
  return `gateway { name: ${quote(links.cluster)}, host: ${quote(listen)}, port: ${port}, reject_unknown_cluster: true, tls ${tlsBlock}, gateways: [${entries.join(', ')}] }`;
}

function remoteBlock({ urls, tls }: Pick<Remote, 'urls' | 'tls'>, fields: readonly string[]): string {
  const parts = [...fields, `urls: [${urls.map(quote).join(', ')}]`, ...(tls ? [`tls ${remoteTls(tls)}`] : [])];
  return `{ ${parts.join(', ')} }`;
}

function remoteTls({ cert, key, ca, verify }: RemoteTls): string {
  return `{ cert_file: ${quote(cert)}, key_file: ${quote(key)}, ca_file: ${quote(ca)}${verify ? '' : ', insecure: true'} }`;
}

function clusterBlock(
  { port, peers, user, password }: NonNullable<BrokerPlan['cluster']>,
  name: string,
  tlsBlock: string,
): string {
  const login =
    user !== undefined && password !== undefined ? ` authorization { user: ${quote(user)}, password: ${quote(password)} }` : '';
  return `cluster { name: ${quote(name)}, port: ${port}, routes: [${peers.map((peer) => quote(routeUrl(peer, user, password))).join(', ')}], tls ${tlsBlock}${login} }`;
}

/** Peers are named as host:port or as URLs; those who ask for a password are asked with one. */
function routeUrl(peer: string, user: string | undefined, password: string | undefined): string {
  const url = new URL(peer.includes('://') ? peer : `nats://${peer}`);
  if (user === undefined || password === undefined || url.username !== '') return url.href;
  url.username = user;
  url.password = password;
  return url.href;
}

/** A string that the configuration's parser reads back as it was. */
export function quote(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not get through
  if (/[\x00-\x1f\x7f]/.test(text)) throw new RangeError('a control character cannot stand in the broker configuration');
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
