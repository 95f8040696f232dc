// `plugin schema`: DDLs and contracts as programs read them.

import { readFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { DdlError, readDataDdl, readDdl } from '../../wire/ddl.ts';
import { libdirsOf } from '../config.ts';
import { findAny } from '../ddls.ts';
import { agentJsonSchema, dataJsonSchema } from '../json-schema.ts';
import { rubyDdl } from '../ruby-ddl.ts';
import { type CommandContext, toJson } from './context.ts';

export async function schema(context: CommandContext): Promise<number> {
  const { client, host, options, print } = context;
  const [kind, name] = [String(context.arguments.kind), String(context.arguments.name)];
  const format = String(options.format ?? 'json');
  if (kind === 'contract') {
    const contract = readContract(name);
    await print(format === 'yaml' ? stringify(contract).trimEnd() : toJson(contract));
    return 0;
  }
  if (kind !== 'agent' && kind !== 'data') throw new Error(`there are agent, data and contract to show, not '${kind}'`);
  const found = await findAny(host, kind, name, libdirsOf(client.config));
  await print(render(kind, format, found.load(), found.origin));
  return 0;
}

function render(kind: 'agent' | 'data', format: string, document: unknown, origin: string): string {
  switch (format) {
    case 'yaml':
      return stringify(document).trimEnd();
    case 'jsonschema':
      return toJson(
        kind === 'agent' ? agentJsonSchema(readDdl(document, origin)) : dataJsonSchema(readDataDdl(document, origin)),
      );
    case 'ddl':
      if (kind === 'data') throw new DdlError('data plugins have no DDL in Ruby; choose another format');
      return rubyDdl(readDdl(document, origin));
    default:
      return JSON.stringify(document);
  }
}

/** The contract of a first-party kind. @throws Error that says what to look at for other kinds */
function readContract(kind: string): unknown {
  try {
    if (!/^[a-z-]+$/.test(kind)) throw new Error('no kind has such a name');
    return JSON.parse(readFileSync(new URL(`../../../ddl/contracts/${kind}.json`, import.meta.url), 'utf8'));
  } catch {
    throw new Error(
      `there is no contract of the kind ${kind} in this version; a bundle that adds a kind has its contract beside it`,
    );
  }
}
