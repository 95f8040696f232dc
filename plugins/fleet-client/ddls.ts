// Where a client finds DDLs: those of this version, bundles that it has, folders of `libdir`.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, extname, join } from 'node:path';
import type { Host } from '../../core/sdk/typescript/index.ts';
import { type AgentDDL, type DataDDL, DdlError, readDataDdl, readDdl } from '../wire/ddl.ts';

const require = createRequire(import.meta.url);

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
  const found = await findAny(host, 'agent', agent, libdirs);
  return named(readDdl(found.load(), found.origin), agent, found);
}

/** @throws DdlError naming where it was looked for */
export async function findDataDdl(host: Host, source: string, libdirs: readonly string[]): Promise<DataDDL> {
  const found = await findAny(host, 'data', source, libdirs);
  return named(readDataDdl(found.load(), found.origin), source, found);
}

/** The document as it was found. @throws DdlError naming where it was looked for */
export async function findAny(host: Host, kind: DdlKind, name: string, libdirs: readonly string[]): Promise<FoundDdl> {
  const found = (await listDdls(host, kind, libdirs)).find((entry) => entry.name === name);
  if (found) return found;
  throw new DdlError(
    `there is no DDL for the ${kind === 'agent' ? 'agent' : 'data plugin'} ${name}: it is not in this version, in no bundle here, and not as mcollective/${kind}/${name}.json in libdir (${libdirs.join(', ') || 'not set'})`,
  );
}

function named<T extends AgentDDL | DataDDL>(ddl: T, name: string, { origin }: FoundDdl): T {
  if (ddl.metadata.name === name) return ddl;
  throw new DdlError(`${origin} does not describe ${name} but ${ddl.metadata.name}; correct its metadata.name or its file name`);
}

/** Every DDL of a kind, by name; where a name is there twice, the one that counts. */
export async function listDdls(host: Host, kind: DdlKind, libdirs: readonly string[]): Promise<FoundDdl[]> {
  const all = [...inLibdirs(kind, libdirs), ...(await inBundles(host, kind)), ...builtIn(kind)];
  return [...new Map(all.map((found) => [found.name, found])).values()].sort((a, b) => (a.name < b.name ? -1 : 1));
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

const extensions: readonly string[] = ['.json', '.yaml', '.yml'];

/** The last match wins: folders in their order, inside them `choria` before `mcollective`, files by name. */
function inLibdirs(kind: DdlKind, libdirs: readonly string[]): FoundDdl[] {
  return libdirs
    .flatMap((folder) => [join(folder, 'choria', kind), join(folder, 'mcollective', kind)])
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((file) => extensions.includes(extname(file)))
        .sort()
        .map((file) => join(folder, file)),
    )
    .map((file) => ({ kind, name: basename(file, extname(file)), origin: file, load: () => readDdlFile(file) }));
}

/** A document in JSON or YAML, by its name. @throws DdlError with the file */
export function readDdlFile(file: string): unknown {
  try {
    const text = readFileSync(file, 'utf8');
    return extname(file) === '.json' ? (JSON.parse(text) as unknown) : parseYaml(text);
  } catch (error) {
    throw new DdlError(`${file}: ${(error as Error).message.split('\n')[0]}`);
  }
}

/** Loaded when the first DDL in YAML comes: every command looks for DDLs, and most find none. */
function parseYaml(text: string): unknown {
  return (require('yaml') as typeof import('yaml')).parse(text);
}
