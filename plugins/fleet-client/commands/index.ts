// The commands of operators: one plugin that answers for all of them.

import { type Call, definePlugin, PluginError } from '../../../core/sdk/typescript/index.ts';
import { FleetClient } from '../client.ts';
import { type CommandContext, type CommandOptions, createContext, federationsOf, traceOf } from './context.ts';
import { doc } from './doc.ts';
import { drain, undrain } from './drain.ts';
import { facts } from './facts.ts';
import { find } from './find.ts';
import { generateClient } from './generate.ts';
import { inventory } from './inventory.ts';
import { ping } from './ping.ts';
import { renew } from './renew.ts';
import { req } from './req.ts';
import { schema } from './schema.ts';
import { why } from './why.ts';

const commands: Readonly<Record<string, (context: CommandContext) => Promise<number>>> = {
  ping,
  find,
  req,
  facts,
  inventory,
  why,
  doc,
  schema,
  client: generateClient,
  renew,
  drain,
  undrain,
};

interface RunParams {
  readonly command: readonly string[];
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly options: CommandOptions;
}

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host) => ({
    methods: {
      'command/run': async ({ command, arguments: args, options }: RunParams, call: Call) => {
        const run = commands[command.at(-1) ?? ''];
        if (!run) throw new PluginError('INVALID_PARAMS', `there is no command ${command.join(' ')}`);
        const client = new FleetClient(host, { ...federationsOf(options), ...traceOf(process.env) });
        try {
          return { exitCode: await run(await createContext(host, client, args, options, call)) };
        } finally {
          await client.close();
        }
      },
    },
  }),
});
