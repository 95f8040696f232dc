// A provisioning hook around a certificate authority that is somewhere else: policy before, configuration after.

import { type Call, definePlugin, type Host, type PluginDefinition } from '../../../core/sdk/typescript/index.ts';
import { HookError } from './errors.ts';
import { type Approved, createPolicy, type PolicyConfig } from './policy.ts';
import type { ProvisionReply, ProvisionRequest, Revocation } from './reply.ts';
import { replyWith, type SettingsConfig } from './settings.ts';
import { createTokenAnswer } from './token-answer.ts';

export interface RemoteAuthority {
  /** PEM: the certificate with what is between it and the root, and what is to be trusted. @throws HookError */
  sign(approved: Approved, signal: AbortSignal): Promise<{ readonly certificate: string; readonly ca: string }>;
  /** @throws HookError */
  revoke(revocation: Revocation, signal: AbortSignal): Promise<{ readonly revoked: boolean; readonly crl?: string }>;
}

/** `open` makes the authority from the configuration, for each call: files with secrets may change. */
export function defineAuthorityHook(
  version: string,
  open: (config: Readonly<Record<string, unknown>>) => RemoteAuthority,
): PluginDefinition {
  return definePlugin({
    kind: 'provisioning-hook',
    version,
    create: (host: Host) => {
      const config = host.config as PolicyConfig & SettingsConfig;
      const policy = createPolicy(config);
      const tokenAnswer = createTokenAnswer(config);
      return {
        methods: {
          'hook/provision': async (request: ProvisionRequest, call: Call): Promise<ProvisionReply> => {
            const answer = tokenAnswer(request);
            if (answer) return answer;
            const approved = policy(request);
            try {
              return replyWith(await open(host.config).sign(approved, call.signal), request, config);
            } catch (error) {
              // Trouble of the authority passes; the node is asked for again.
              if (error instanceof HookError && error.code === 'HOOK_AUTHORITY') return { defer: true, msg: error.message };
              throw error;
            }
          },
          'hook/revoke': (revocation: Revocation, call: Call) => open(host.config).revoke(revocation, call.signal),
        },
      };
    },
  });
}
