// Runs a provisioning helper of Choria as it is: one process a node, its JSON on standard input, its answer on standard output.

import { readFileSync } from 'node:fs';
import { type Call, definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { readProvisionerFile } from '../../plugins/wire/provisioning/choria-file.ts';
import { HookError } from '../../plugins/wire/provisioning/errors.ts';
import { helperMs, runHelper } from '../../plugins/wire/provisioning/helper.ts';
import type { ProvisionReply, ProvisionRequest } from '../../plugins/wire/provisioning/reply.ts';
import { splitWords } from '../../plugins/wire/words.ts';

interface Config {
  readonly 'plugin.muster.provisioning.helper'?: string;
  readonly 'plugin.provisioner.helper'?: string;
  readonly 'plugin.provisioner.config'?: string;
  readonly 'plugin.muster.provisioning.helper_environment'?: readonly string[];
}

export default definePlugin({
  kind: 'provisioning-hook',
  version: '1.0.0',
  create: (host: Host) => {
    const config = host.config as Config;
    const line = commandLine(config);
    return {
      methods: {
        'hook/provision': async (request: ProvisionRequest, call: Call): Promise<ProvisionReply> => {
          const command = splitWords(line);
          if (command.length === 0)
            throw new HookError(
              'HOOK_CONFIG',
              'plugin.muster.provisioning.helper is not set; it is the command line of the helper',
            );
          const { reply, stderr } = await runHelper(
            host,
            { command, request, environment: config['plugin.muster.provisioning.helper_environment'] ?? [] },
            { for: call, signal: call.signal, deadlineMs: Math.min(helperMs, call.remainingMs()) },
          );
          // The original throws away what helpers say there, so that nobody sees why one failed.
          for (const line of stderr.split('\n').filter((text) => text.trim() !== '')) call.log.info(line);
          return reply;
        },
      },
    };
  },
});

/** That of the hook itself, or of Choria's provisioner, in whose file it may be. */
function commandLine(config: Config): string {
  const own = config['plugin.muster.provisioning.helper'] ?? config['plugin.provisioner.helper'];
  const file = config['plugin.provisioner.config'];
  if (own !== undefined || file === undefined) return own ?? '';
  const { helper = '' } = readProvisionerFile(readFileSync(file, 'utf8'));
  return String(helper);
}
