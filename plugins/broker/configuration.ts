// The text of a nats-server configuration. A pure function: every value is quoted, so that none can end its string.

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
}

const maxConnections = 50_000;

/** Mutual TLS for everybody; the account `choria` for all whose certificate is good; `system` with a password. */
export function brokerConfiguration(plan: BrokerPlan): string {
  const { tls, store, system, cluster } = plan;
  const tlsBlock = `{ cert_file: ${quote(tls.cert)}, key_file: ${quote(tls.key)}, ca_file: ${quote(tls.ca)}, verify: true, timeout: ${tls.timeoutMs / 1000} }`;
  return [
    `server_name: ${quote(plan.name)}`,
    `host: ${quote(plan.listen)}`,
    `port: ${plan.port}`,
    `http: ${quote(`127.0.0.1:${plan.monitorPort}`)}`,
    `max_connections: ${maxConnections}`,
    `write_deadline: ${quote(`${plan.writeDeadlineMs}ms`)}`,
    `tls ${tlsBlock}`,
    ...(store === undefined ? [] : [`jetstream { store_dir: ${quote(store)} }`]),
    'accounts {',
    // Whoever brings a good certificate and no user name becomes `fleet`.
    `  choria { ${store === undefined ? '' : 'jetstream: enabled, '}users: [{ user: "fleet", password: "" }] }`,
    `  system { ${system ? `users: [{ user: ${quote(system.user)}, password: ${quote(system.password)} }]` : ''} }`,
    '}',
    'system_account: system',
    'no_auth_user: fleet',
    ...(cluster ? [clusterBlock(cluster, tlsBlock)] : []),
    '',
  ].join('\n');
}

function clusterBlock({ port, peers, user, password }: NonNullable<BrokerPlan['cluster']>, tlsBlock: string): string {
  const login =
    user !== undefined && password !== undefined ? ` authorization { user: ${quote(user)}, password: ${quote(password)} }` : '';
  return `cluster { name: "CHORIA", port: ${port}, routes: [${peers.map((peer) => quote(routeUrl(peer, user, password))).join(', ')}], tls ${tlsBlock}${login} }`;
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
