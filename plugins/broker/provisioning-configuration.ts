// The text of the configuration of the nats-server that nodes meet before they are provisioned.

import { quote } from './configuration.ts';

export interface Login {
  readonly user: string;
  readonly password: string;
}

export interface ProvisioningPlan {
  readonly name: string;
  readonly listen: string;
  readonly port: number;
  /** Port for health checks, on 127.0.0.1 only. */
  readonly monitorPort: number;
  /** The certificate that nodes see. They show none of their own, since they have none. Undefined: without TLS. */
  readonly tls: { readonly cert: string; readonly key: string; readonly timeoutMs: number } | undefined;
  readonly writeDeadlineMs: number;
  readonly store: string;
  readonly maxConnections: number;
  /** Handshakes a second; whoever comes beyond is turned away at once and comes again. */
  readonly connectionRate: number;
  readonly provisioner: Login;
  /** How all nodes log in whose token says so. */
  readonly node: Login | undefined;
  /** Who is asked about everybody else, and the key that the answers are signed with. */
  readonly callout: { readonly login: Login; readonly issuer: string } | undefined;
}

/** Until a connection is admitted; thousands may come at once. */
const admissionSeconds = 10;
const agents = ['discovery', 'rpcutil', 'choria_util', 'choria_provision'];
/** Nodes that end without a word are noticed after some of these. */
const pingSeconds = 30;
const missedPings = 2;

/** What a node in provisioning may use; `own` is the subject on which it is asked. */
export function nodePermissions(own: string): { readonly subscribe: readonly string[]; readonly publish: readonly string[] } {
  return {
    subscribe: [own, ...agents.map((agent) => `provisioning.broadcast.agent.${agent}`)],
    publish: ['choria.lifecycle.>', 'provisioning.reply.>', 'provisioning.registration.>'],
  };
}

/** One account, in which the provisioner may do everything and nodes what they need. */
export function provisioningConfiguration(plan: ProvisioningPlan): string {
  const { tls, node, callout } = plan;
  return [
    `server_name: ${quote(`${plan.name}-provisioning`)}`,
    `host: ${quote(plan.listen)}`,
    `port: ${plan.port}`,
    `http: ${quote(`127.0.0.1:${plan.monitorPort}`)}`,
    `max_connections: ${plan.maxConnections}`,
    `write_deadline: ${quote(`${plan.writeDeadlineMs}ms`)}`,
    `ping_interval: ${quote(`${pingSeconds}s`)}`,
    `ping_max: ${missedPings}`,
    ...(tls
      ? [
          `tls { cert_file: ${quote(tls.cert)}, key_file: ${quote(tls.key)}, verify: false, timeout: ${tls.timeoutMs / 1000}, connection_rate_limit: ${plan.connectionRate} }`,
        ]
      : []),
    `jetstream { store_dir: ${quote(plan.store)} }`,
    'accounts {',
    '  provisioning {',
    '    jetstream: enabled',
    '    users: [',
    `      { ${login(plan.provisioner)} }`,
    ...(node ? [`      { ${login(node)}, permissions: ${permissions('provisioning.node.>')} }`] : []),
    '    ]',
    '  }',
    `  system { ${callout ? `users: [{ ${login(callout.login)} }]` : ''} }`,
    '}',
    'system_account: system',
    `authorization { timeout: ${admissionSeconds}${callout ? `, auth_callout { issuer: ${quote(callout.issuer)}, account: system, auth_users: [${[callout.login, plan.provisioner].map(({ user }) => quote(user)).join(', ')}] }` : ''} }`,
    '',
  ].join('\n');
}

function login({ user, password }: Login): string {
  return `user: ${quote(user)}, password: ${quote(password)}`;
}

function permissions(own: string): string {
  const { subscribe, publish } = nodePermissions(own);
  const list = (subjects: readonly string[]) => `{ allow: [${subjects.map(quote).join(', ')}] }`;
  return `{ publish: ${list(publish)}, subscribe: ${list(subscribe)} }`;
}
