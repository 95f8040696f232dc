// `plugin generate client`: writes a typed client for an agent.

import { existsSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { readDdl } from '../../wire/ddl.ts';
import { libdirsOf } from '../config.ts';
import { findDdl, readDdlFile } from '../ddls.ts';
import { typescriptClient } from '../generate-typescript.ts';
import type { CommandContext } from './context.ts';

export async function generateClient(context: CommandContext): Promise<number> {
  const { client, host, options, print, tell } = context;
  const given = String(context.arguments.ddl);
  const isFile = /\.(json|ya?ml)$/.test(given) || given.includes('/');
  const ddl = isFile ? readDdl(readDdlFile(given), given) : await findDdl(host, given, libdirsOf(client.config));
  const text = typescriptClient(ddl, `muster plugin generate client ${isFile ? basename(given) : given} --lang ts`);
  const file = String(options.outputFile ?? `${ddl.metadata.name}-client.ts`);
  if (file === '-') {
    await print(text.trimEnd());
    return 0;
  }
  if (existsSync(file) && !options.force)
    throw new Error(`${file} is already there; name another with -o, or replace it with --force`);
  writeFileSync(file, text);
  await tell(
    `${file} is written: ${ddl.actions.length} ${ddl.actions.length === 1 ? 'action' : 'actions'} of ${ddl.metadata.name}`,
  );
  return 0;
}
