// What a node in provisioning mode is configured with: what its token says, in place of a configuration file.

import { dirname, join } from 'node:path';
import { type ProvisioningClaims, provisioningTarget } from '../tokens/provisioning.ts';

export const provisioningCollective = 'provisioning';
/** The only agents that are served in this mode; brokers let a node subscribe for no others. */
export const provisioningAgents: readonly string[] = ['choria_provision', 'choria_util', 'discovery', 'rpcutil'];
export const provisioningServices: readonly string[] = ['_choria-provisioner._tcp'];
const registrationSeconds = 120;

/** What Muster reads in the extensions of a token: `{"muster": {…}}`. */
export interface TokenExtensions {
  /** Brokers of the provisioning network are reached without TLS. */
  readonly plaintext: boolean;
  /** A plugin that finds them. */
  readonly target: string | undefined;
}

export function musterExtensions({ extensions }: ProvisioningClaims): TokenExtensions {
  const { muster } = (extensions ?? {}) as { muster?: { plaintext?: unknown; target?: unknown } };
  return {
    plaintext: muster?.plaintext === true,
    target: typeof muster?.target === 'string' && muster.target !== '' ? muster.target : undefined,
  };
}

/** Where a token with these claims sends its node, for people. */
export function describeTarget(claims: ProvisioningClaims, plugin?: string): string {
  if (plugin !== undefined) return `the plugin ${plugin}`;
  const target = provisioningTarget(claims);
  return 'urls' in target ? target.urls.join(', ') : `${provisioningServices[0]}.${target.domain}`;
}

export interface ProvisioningSource {
  readonly claims: ProvisioningClaims;
  readonly tokenFile: string;
  readonly configFile: string;
  /** A plugin that finds the brokers, over what the token says. */
  readonly target?: string | undefined;
}

/** The configuration as entries. @throws TokenError if the token names no brokers, or both brokers and a domain */
export function provisioningEntries({
  claims,
  tokenFile,
  configFile,
  target: plugin,
}: ProvisioningSource): Record<string, string> {
  const { plaintext, target: named } = musterExtensions(claims);
  const target = provisioningTarget(claims);
  const found = plugin ?? named;
  const { chf = '', chusr = '', chpwd = '', chrd = '', update = false, v2 = false } = claims;
  return {
    collectives: provisioningCollective,
    main_collective: provisioningCollective,
    rpcauthorization: 'false',
    'plugin.choria.ssldir': join(dirname(configFile), 'ssl'),
    'plugin.choria.server.provision.allow_update': String(update),
    ...('urls' in target
      ? { 'plugin.choria.middleware_hosts': target.urls.join(',') }
      : { 'plugin.muster.provisioning.srv': target.domain }),
    ...(found !== undefined && { 'plugin.muster.provisioning.target': found }),
    ...(plaintext && { 'plugin.muster.provisioning.plaintext': 'true' }),
    ...(chf !== '' && { 'plugin.yaml': chf }),
    ...(chusr !== '' && { 'plugin.nats.user': chusr }),
    ...(chpwd !== '' && { 'plugin.nats.pass': chpwd }),
    ...(v2 && { 'plugin.muster.provisioning.v2': 'true' }),
    // What a node registers by protocol v2 is signed with a token that it does not have yet.
    ...(chrd !== '' &&
      !v2 && {
        registration: 'file_content',
        registerinterval: String(registrationSeconds),
        registration_splay: 'false',
        'plugin.choria.registration.file_content.data': chrd,
        'plugin.choria.registration.file_content.target': 'provisioning.registration.data',
      }),
    'plugin.muster.provisioning.active': 'true',
    'plugin.muster.provisioning.available': 'true',
    'plugin.muster.provisioning.token': tokenFile,
    'plugin.muster.security': 'provisioning',
  };
}
