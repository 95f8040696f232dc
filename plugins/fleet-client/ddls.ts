// Where a client finds DDLs: those of this version, bundles that it has, folders of `libdir`.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../../core/sdk/typescript/index.ts';
import { type DataDDL, readDataDdl } from '../wire/data-ddl.ts';
import { type AgentDDL, DdlError, readDdl } from '../wire/ddl.ts';

export type DdlKind = 'agent' | 'data';

/** A DDL that was found, not yet read. */
export interface FoundDdl {
  readonly kind: DdlKind;
  readonly name: string;
  /** File or bundle that it comes from. */
  readonly origin: string;
  readonly load: () => unknown;
}

/** @throws DdlError naming where it was looked for */
export async function findDdl(host: Host, agent: string, libdirs: readonly string[]): Promise<AgentDDL> {
  const found = await find(host, 'agent', agent, libdirs);
  return readDdl(found.load(), found.origin);
}

/** @throws DdlError naming where it was looked for */
export async function findDataDdl(host: Host, source: string, libdirs: readonly string[]): Promise<DataDDL> {
  const found = await find(host, 'data', source, libdirs);
  return readDataDdl(found.load(), found.origin);
}

/** Every DDL of a kind, by name; where a name is there twice, the one that counts. */
export async function listDdls(host: Host, kind: DdlKind, libdirs: readonly string[]): Promise<FoundDdl[]> {
  const all = [...inLibdirs(kind, libdirs), ...(await inBundles(host, kind)), ...builtIn(kind)];
  return [...new Map(all.map((found) => [found.name, found])).values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function find(host: Host, kind: DdlKind, name: string, libdirs: readonly string[]): Promise<FoundDdl> {
  const found = (await listDdls(host, kind, libdirs)).find((entry) => entry.name === name);
  if (found) return found;
  throw new DdlError(
    `there is no DDL for the ${kind === 'agent' ? 'agent' : 'data plugin'} ${name}: it is not in this version, in no bundle here, and not as mcollective/${kind}/${name}.json in libdir (${libdirs.join(', ') || 'not set'})`,
  );
}

function builtIn(kind: DdlKind): FoundDdl[] {
  const folder = new URL(kind === 'agent' ? '../../ddl/agents/' : '../../ddl/data/', import.meta.url);
  return readdirSync(folder).map((file) => {
    const name = file.replace(/\.json$/, '');
    return {
      kind,
      name,
      origin: `the DDL of ${kind}/${name}`,
      load: () => JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as unknown,
    };
  });
}

async function inBundles(host: Host, kind: DdlKind): Promise<FoundDdl[]> {
  return (await host.plugins.list(kind))
    .filter(({ resources }) => resources.ddl !== undefined)
    .map(({ name, bundle, resources }) => ({
      kind,
      name,
      origin: `the DDL of ${kind}/${name} in the bundle ${bundle}`,
      load: () => resources.ddl,
    }));
}

/** The last match wins: folders in their order, inside them `choria` before `mcollective`, files by name. */
function inLibdirs(kind: DdlKind, libdirs: readonly string[]): FoundDdl[] {
  return libdirs
    .flatMap((folder) => [join(folder, 'choria', kind), join(folder, 'mcollective', kind)])
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.json'))
        .sort()
        .map((file) => join(folder, file)),
    )
    .map((file) => ({ kind, name: file.replace(/^.*\//, '').replace(/\.json$/, ''), origin: file, load: () => readFile(file) }));
}

function readFile(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as unknown;
  } catch (error) {
    throw new DdlError(`${file}: ${(error as Error).message}`);
  }
}
