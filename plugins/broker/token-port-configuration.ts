// The text of the configuration of the nats-server for those who show a token in place of a certificate. It keeps nothing
// itself: it is a leaf node of the fleet's broker.

import { jetstreamDomain, quote } from './configuration.ts';
import type { Login } from './provisioning-configuration.ts';

export interface TokenPortPlan {
  readonly name: string;
  readonly listen: string;
  readonly port: number;
  /** Port for health checks, on 127.0.0.1 only. */
  readonly monitorPort: number;
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string; readonly timeoutMs: number };
  readonly writeDeadlineMs: number;
  readonly maxConnections: number;
  readonly fleet: {
    /** Port for leaf nodes of the fleet's broker, on this machine. */
    readonly port: number;
    readonly host: string;
    readonly account: string;
  };
  /** Who is asked about everybody, and the key that the answers are signed with. */
  readonly callout: { readonly login: Login; readonly issuer: string };
  /** Public key of a user that nobody is: nats-server sends a nonce only where there is one. */
  readonly nonceUser: string;
}

/** Until a connection is admitted; thousands may come at once. */
const admissionSeconds = 10;

/** A token is in the first line that a client sends, twice, and one with a policy is long. */
const mostOfLine = 131_072;

export function tokenPortConfiguration(plan: TokenPortPlan): string {
  const { tls, fleet, callout } = plan;
  const files = `cert_file: ${quote(tls.cert)}, key_file: ${quote(tls.key)}`;
  const { user, password } = callout.login;
  const api = `$JS.${jetstreamDomain(plan.name)}.API`;
  return [
    `server_name: ${quote(`${plan.name}-tokens`)}`,
    `host: ${quote(plan.listen)}`,
    `port: ${plan.port}`,
    `http: ${quote(`127.0.0.1:${plan.monitorPort}`)}`,
    `max_connections: ${plan.maxConnections}`,
    `max_control_line: ${mostOfLine}`,
    `write_deadline: ${quote(`${plan.writeDeadlineMs}ms`)}`,
    `tls { ${files}, verify: false, timeout: ${tls.timeoutMs / 1000} }`,
    'accounts {',
    // Leaf nodes reach the streams of a broker by its domain; whoever is here need not know it.
    `  ${fleet.account} { mappings: { "$JS.API.>": ${quote(`${api}.>`)}, "$KV.>": ${quote(`${api}.$KV.>`)} } }`,
    `  system { users: [{ user: ${quote(user)}, password: ${quote(password)} }, { nkey: ${quote(plan.nonceUser)}, permissions: { publish: { deny: [">"] }, subscribe: { deny: [">"] } } }] }`,
    '}',
    'system_account: system',
    // The other end is on this machine, and its certificate need not name the address.
    `leafnodes { remotes: [{ url: ${quote(`tls://${fleet.host}:${fleet.port}`)}, account: ${quote(fleet.account)}, tls { ${files}, ca_file: ${quote(tls.ca)}, insecure: true } }] }`,
    `authorization { timeout: ${admissionSeconds}, auth_callout { issuer: ${quote(callout.issuer)}, account: system, auth_users: [${quote(user)}] } }`,
    '',
  ].join('\n');
}
