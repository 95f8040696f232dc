// Which nodes are meant: names that were given, names in a file, or everybody who answers a broadcast.

import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { type Filter, FilterError, withAgent } from '../wire/filter.ts';
import { duplicatesOf, type FleetClient } from './client.ts';

export interface DiscoverOptions {
  readonly filter: Filter;
  readonly collective?: string;
  /** Only nodes that have it. */
  readonly agent?: string;
  readonly timeoutMs?: number;
  readonly windowed?: boolean;
  /** File with the names; filters are not applied to them. */
  readonly nodesFile?: string;
  readonly signal?: AbortSignal;
}

export interface Discovered {
  /** In order of arrival, each name once. */
  readonly nodes: readonly string[];
  readonly method: 'flatfile' | 'identities' | 'mc';
  readonly ms: number;
  /** Names that two nodes answered to. */
  readonly duplicates: readonly string[];
}

const namePattern = /^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/;

/** @throws FilterError for an unreadable list of nodes, and what the client throws */
export async function discover(client: FleetClient, options: DiscoverOptions): Promise<Discovered> {
  const begun = performance.now();
  const known = options.nodesFile === undefined ? identitiesOnly(options.filter) : readNodes(options.nodesFile);
  if (known) {
    const method = options.nodesFile === undefined ? 'identities' : 'flatfile';
    return { nodes: known, method, ms: performance.now() - begun, duplicates: [] };
  }
  const { agent, nodesFile: _file, filter, ...rest } = options;
  const { answers } = await client.ping({ ...rest, filter: agent === undefined ? filter : withAgent(filter, agent) });
  const names = answers.map(({ sender }) => sender);
  return { nodes: [...new Set(names)], method: 'mc', ms: performance.now() - begun, duplicates: duplicatesOf(names) };
}

/** The names of a filter that has only names and no pattern: nobody needs to be asked. */
function identitiesOnly({ fact, cf_class, identity, compound }: Filter): readonly string[] | undefined {
  if (identity.length === 0 || fact.length + cf_class.length + compound.length > 0) return undefined;
  return identity.some((name) => name.startsWith('/')) ? undefined : identity;
}

function readNodes(file: string): string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new FilterError(`${file}: cannot be read: ${(error as Error).message}`);
  }
  const names = /\.(json|ya?ml)$/.test(file) ? readList(file, text) : text.split('\n').map((line) => line.trim());
  const nodes = names.filter((name) => name !== '');
  const wrong = nodes.find((name) => !namePattern.test(name));
  if (wrong !== undefined)
    throw new FilterError(`${file}: '${wrong}' is no node name; it may have letters, digits, dashes and dots`);
  if (nodes.length === 0) throw new FilterError(`${file}: it names no node`);
  return [...new Set(nodes)];
}

function readList(file: string, text: string): string[] {
  let value: unknown;
  try {
    value = file.endsWith('.json') ? JSON.parse(text) : parse(text);
  } catch (error) {
    throw new FilterError(`${file}: ${(error as Error).message.split('\n')[0]}`);
  }
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw new FilterError(`${file}: it must hold a list of node names`);
}
