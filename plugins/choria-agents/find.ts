// Where external agents are and what makes one (layouts of Choria's external agents, protocol v1).

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { parse } from 'yaml';
import { type AgentDDL, readDdl } from '../wire/ddl.ts';

export interface FoundAgent {
  readonly name: string;
  readonly ddl: AgentDDL;
  readonly ddlFile: string;
  /** Changes when the DDL does. */
  readonly stamp: string;
}

export interface Found {
  readonly agents: ReadonlyMap<string, FoundAgent>;
  /** What could not be used, by file. */
  readonly problems: ReadonlyMap<string, string>;
}

/** Names that a node answers itself. */
const taken: ReadonlySet<string> = new Set([
  'rpcutil',
  'choria_util',
  'choria_provision',
  'choria_registry',
  'discovery',
  'scout',
  'muster',
]);
/** A DDL that is still being written is looked at when it has been at rest for this long. */
const restMs = 200;
const yamlExtensions: readonly string[] = ['.yaml', '.yml'];
const goArchitectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

/** Looks through `<libdir>/mcollective/agent` of each folder; the first agent of a name counts. */
export function findAgents(libdirs: readonly string[], now: number): Found {
  const agents = new Map<string, FoundAgent>();
  const problems = new Map<string, string>();
  for (const file of libdirs.flatMap((folder) => ddlFiles(join(folder, 'mcollective/agent')))) {
    const stat = statSync(file, { throwIfNoEntry: false });
    if (!stat || now - stat.mtimeMs < restMs) continue;
    try {
      const ddl = readProvided(file);
      if (!ddl) continue;
      const { name } = ddl.metadata;
      const before = agents.get(name);
      if (taken.has(name)) problems.set(file, `${file}: the name ${name} belongs to the node itself; choose another name`);
      else if (before)
        problems.set(file, `${file}: the agent ${name} is already provided by ${before.ddlFile}; rename one of them`);
      else agents.set(name, { name, ddl, ddlFile: file, stamp: `${file} ${stat.mtimeMs} ${stat.size}` });
    } catch (error) {
      problems.set(file, (error as Error).message);
    }
  }
  return { agents, problems };
}

/** `D/N`, else `D/N/N-<os>_<arch>`; undefined if neither is a file. */
export function findExecutable({ name, ddlFile }: FoundAgent): string | undefined {
  const folder = dirname(ddlFile);
  const platform = `${process.platform}_${goArchitectures[process.arch] ?? process.arch}`;
  return [join(folder, name), join(folder, name, `${name}-${platform}`)].find(isFile);
}

/** `<dir>/<x>.json` and `<dir>/<x>/<x>.json`, by name; YAML counts where there is no JSON of the name. */
function ddlFiles(folder: string): string[] {
  const names = entriesOf(folder);
  return names.flatMap((name) => {
    const extension = extname(name);
    if (extension === '.json') return [join(folder, name)];
    if (yamlExtensions.includes(extension))
      return names.includes(`${basename(name, extension)}.json`) ? [] : [join(folder, name)];
    if (name === 'tmp') return [];
    const inside = ['.json', ...yamlExtensions].map((ending) => join(folder, name, `${name}${ending}`)).find(isFile);
    return inside === undefined ? [] : [inside];
  });
}

/** False also where a part of the path is a file. */
function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

/** The DDL of an external agent; undefined for one that others provide. */
function readProvided(file: string): AgentDDL | undefined {
  let value: unknown;
  try {
    const text = readFileSync(file, 'utf8');
    value = extname(file) === '.json' ? JSON.parse(text) : parse(text);
  } catch (error) {
    throw new Error(`${file}: cannot be read: ${(error as Error).message.split('\n')[0]}`);
  }
  const provider = (value as { metadata?: { provider?: unknown } } | null)?.metadata?.provider;
  if (provider !== 'external' || taken.has(basename(file, extname(file)))) return undefined;
  return readDdl(value, file);
}
