// `file_content`: the bytes of a file, and whether it changed since it was last looked at.

import { readFileSync, statSync } from 'node:fs';
import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { fileMessage } from '../wire/registration.ts';

const keys = 'plugin.choria.registration.file_content';

export default definePlugin({
  kind: 'registration',
  version: '1.0.0',
  create: ({ config, log }: Host) => {
    let seen: number | undefined;
    return {
      methods: {
        'registration/collect': () => {
          const file = config[`${keys}.data`];
          if (typeof file !== 'string' || file === '')
            throw new Error(`${keys}.data is not set; file_content needs the path of a file`);
          const read = readFile(file);
          if (typeof read === 'string') {
            log.error(read);
            return { messages: [] };
          }
          const { mtime, content } = read;
          // The first look tells nothing new, so that a fleet that starts does not look like one that changed.
          const updated = seen !== undefined && mtime > seen;
          seen = mtime;
          const target = config[`${keys}.target`];
          const body = fileMessage({ mtime, file, updated, content }, config[`${keys}.compression`] === true);
          return { messages: [{ body, ...(typeof target === 'string' && target !== '' && { target }) }] };
        },
      },
    };
  },
});

/** The file, or why there is nothing to send. */
function readFile(file: string): { mtime: number; content: Uint8Array } | string {
  try {
    const mtime = Math.floor(statSync(file).mtimeMs / 1000);
    const content = readFileSync(file);
    return content.length === 0 ? `${file} is empty, so it is not registered` : { mtime, content };
  } catch (error) {
    return `${file} can not be registered: ${(error as Error).message}`;
  }
}
