// The commands `muster jwt …`.

import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { makeKeys } from './keys.ts';
import { type MakeOptions, makeToken } from './make.ts';
import { type ViewOptions, viewToken } from './view.ts';

interface Params {
  readonly command: readonly string[];
  readonly arguments: Readonly<Record<string, string>>;
  readonly options: object;
}

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host: Host) => ({
    methods: {
      'command/run': async ({ command, arguments: given, options }: Params) => {
        const [, action = ''] = command;
        const { file = '', key = '', seed = '', public: publicFile = '' } = given;
        if (action === 'provisioning') return makeToken(host, file, key, options as MakeOptions);
        if (action === 'view') return viewToken(host, file, options as ViewOptions);
        return makeKeys(host, seed, publicFile, options as { force?: boolean });
      },
    },
  }),
});
