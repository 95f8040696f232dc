// Where a client finds the DDL of an agent: those of this version, bundles that it has, folders of `libdir`.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../../core/sdk/typescript/index.ts';
import { type AgentDDL, DdlError, readDdl } from '../wire/ddl.ts';

/** @throws DdlError naming where it was looked for */
export async function findDdl(host: Host, agent: string, libdirs: readonly string[]): Promise<AgentDDL> {
  const builtIn = new URL(`../../ddl/agents/${agent}.json`, import.meta.url);
  if (/^[\w-]+$/.test(agent) && existsSync(builtIn))
    return readDdl(JSON.parse(readFileSync(builtIn, 'utf8')), `the DDL of ${agent}`);
  const bundled = (await host.plugins.list('agent')).find(({ name }) => name === agent);
  if (bundled?.resources.ddl !== undefined)
    return readDdl(bundled.resources.ddl, `the DDL of ${agent} in the bundle ${bundled.bundle}`);
  const file = findInLibdirs(agent, libdirs);
  if (file !== undefined) return readFile(file);
  throw new DdlError(
    `there is no DDL for the agent ${agent}: it is not in this version, in no bundle here, and not as mcollective/agent/${agent}.json in libdir (${libdirs.join(', ') || 'not set'})`,
  );
}

/** The last match wins: folders in their order, inside them `choria` before `mcollective`, files by name. */
function findInLibdirs(agent: string, libdirs: readonly string[]): string | undefined {
  return libdirs
    .flatMap((folder) => [join(folder, 'choria/agent'), join(folder, 'mcollective/agent')])
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((name) => name === `${agent}.json` || name.endsWith(`/${agent}.json`))
        .sort()
        .map((name) => join(folder, name)),
    )
    .at(-1);
}

function readFile(file: string): AgentDDL {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new DdlError(`${file}: ${(error as Error).message}`);
  }
  return readDdl(value, file);
}
