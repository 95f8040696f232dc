// The commands `muster provisioning status`, `pause`, `resume` and `watch`.

import { type Call, definePlugin, type Host, printable } from '../../core/sdk/typescript/index.ts';
import { askProvisioners } from './ask.ts';
import { type ProvisionerConfig, readSettings } from './config.ts';
import { connectCommand } from './connect.ts';
import type { Question } from './control.ts';
import { statusText } from './status-text.ts';
import { watch } from './watch.ts';

interface Params {
  readonly command: readonly string[];
  readonly options: {
    readonly json?: boolean;
    readonly timeout?: number;
    readonly untilUp?: number;
    readonly readyFile?: string;
  };
}

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host: Host) => ({
    methods: {
      'command/run': async ({ command, options }: Params, call: Call) => {
        const config = host.config as unknown as ProvisionerConfig;
        await connectCommand(host, config, readSettings(config));
        const name = command.at(-1);
        if (name === 'watch')
          await watch(host, { json: options.json === true, untilUp: options.untilUp, readyFile: options.readyFile }, call.signal);
        else await ask(host, name as Question, options, call.signal);
        return { exitCode: 0 };
      },
    },
  }),
});

async function ask(host: Host, question: Question, { json, timeout = 2 }: Params['options'], signal: AbortSignal): Promise<void> {
  const statuses = await askProvisioners(host, question, timeout * 1_000, signal);
  if (json) {
    await host.terminal.write(`${JSON.stringify({ provisioners: statuses }, null, 2)}\n`);
    return;
  }
  if (question !== 'status') {
    const said = question === 'pause' ? 'No node is enrolled until `muster provisioning resume`.' : 'Nodes are enrolled again.';
    await host.terminal.write(`${said}\n`);
    return;
  }
  await host.terminal.write(printable(statusText(statuses)));
}
