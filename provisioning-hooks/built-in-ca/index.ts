// A provisioning hook that is its own certificate authority.

import { join } from 'node:path';
import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { HookError } from '../../plugins/wire/provisioning/errors.ts';
import { createPolicy, type PolicyConfig } from '../../plugins/wire/provisioning/policy.ts';
import type { ProvisionReply, ProvisionRequest, Revocation } from '../../plugins/wire/provisioning/reply.ts';
import { replyWith, type SettingsConfig } from '../../plugins/wire/provisioning/settings.ts';
import { createTokenAnswer } from '../../plugins/wire/provisioning/token-answer.ts';
import { Authority } from './authority.ts';

interface Config extends PolicyConfig, SettingsConfig {
  readonly 'plugin.muster.ca.folder'?: string;
  readonly 'plugin.muster.ca.name'?: string;
  readonly 'plugin.muster.ca.validity'?: number;
  readonly 'plugin.muster.ca.generation'?: number;
}

const yearMs = 365 * 86_400_000;

export default definePlugin({
  kind: 'provisioning-hook',
  version: '1.0.0',
  create: (host: Host) => {
    const config = host.config as Config;
    const policy = createPolicy(config);
    const tokenAnswer = createTokenAnswer(config);
    let opening: Promise<Authority> | undefined;
    /** Opened when it is first needed; after a failure the next call tries again. */
    const authority = () => {
      opening ??= open(config, host.stateFolder).catch((error: unknown) => {
        opening = undefined;
        throw error;
      });
      return opening;
    };
    return {
      methods: {
        'hook/provision': async (request: ProvisionRequest): Promise<ProvisionReply> => {
          const answer = tokenAnswer(request);
          if (answer) return answer;
          const approved = policy(request);
          const issuer = await authority();
          return replyWith({ certificate: await issuer.issue(approved), ca: issuer.ca }, request, config);
        },
        'hook/revoke': async ({ serial, reason }: Revocation) => {
          const issuer = await authority();
          return { revoked: await issuer.revoke(serial, reason), crl: issuer.listFile };
        },
      },
    };
  },
});

async function open(config: Config, stateFolder: string | null): Promise<Authority> {
  const folder = config['plugin.muster.ca.folder'] ?? (stateFolder === null ? undefined : join(stateFolder, 'ca'));
  if (folder === undefined)
    throw new HookError('HOOK_CONFIG', 'plugin.muster.ca.folder is not set, and there is no folder for what has to survive');
  const validityMs = config['plugin.muster.ca.validity'] ?? yearMs;
  const generation = config['plugin.muster.ca.generation'] ?? 1;
  return Authority.open({ folder, name: config['plugin.muster.ca.name'] ?? 'Muster', validityMs, generation });
}
