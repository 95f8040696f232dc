// The answer for a node that authenticates itself by a token: nothing is signed here, since the provisioner makes the token.

import { HookError } from './errors.ts';
import { createNamePolicy, type PolicyConfig } from './policy.ts';
import type { ProvisionReply, ProvisionRequest } from './reply.ts';
import { readSettings, type SettingsConfig } from './settings.ts';

export interface IssuerConfig {
  readonly 'plugin.security.issuer.names'?: string | readonly string[];
}

const usualFolder = '/etc/choria';
/** What nodes do beside being asked. */
const permissions = { submission: true, streams: true };

/** @returns undefined for a node with a certificate request. @throws HookError */
export function createTokenAnswer(
  config: PolicyConfig & SettingsConfig & IssuerConfig,
): (request: ProvisionRequest) => ProvisionReply | undefined {
  const checkName = createNamePolicy(config);
  return ({ identity, csr, ed25519_pubkey: key }) => {
    if (csr || !key) return undefined;
    checkName(identity);
    const directory = key.directory || usualFolder;
    return {
      configuration: {
        identity,
        'plugin.choria.server.provision': 'false',
        'plugin.security.provider': 'choria',
        'plugin.security.choria.token_file': `${directory}/server.jwt`,
        'plugin.security.choria.seed_file': `${directory}/server.seed`,
        ...issuers(config),
        ...readSettings(config['plugin.muster.provisioning.node_settings'], { identity, ssldir: directory }),
      },
      server_claims: { permissions },
    };
  };
}

/** Whom the node is to trust. @throws HookError `HOOK_CONFIG` */
function issuers(config: IssuerConfig): Record<string, string> {
  const listed = config['plugin.security.issuer.names'] ?? [];
  const names = (typeof listed === 'string' ? listed.split(',') : [...listed]).map((name) => name.trim()).filter(Boolean);
  if (names.length === 0)
    throw new HookError(
      'HOOK_CONFIG',
      'a node with an ed25519 key has to know its issuer; set plugin.security.issuer.names, and plugin.security.issuer.<name>.public',
    );
  const keys = names.map((name) => {
    const key = `plugin.security.issuer.${name}.public`;
    const value = (config as Readonly<Record<string, unknown>>)[key];
    if (typeof value !== 'string' || !/^[0-9a-f]{64}$/.test(value))
      throw new HookError('HOOK_CONFIG', `${key} is no ed25519 key of 64 hex digits`);
    return [key, value] as const;
  });
  return { 'plugin.security.issuer.names': names.join(','), ...Object.fromEntries(keys) };
}
