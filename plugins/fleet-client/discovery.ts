// Which nodes are meant: everybody who answers a broadcast, or what another source tells, which is a plugin of kind discovery.

import { printable } from '../../core/sdk/typescript/index.ts';
import { type Filter, FilterError, withAgent } from '../wire/filter.ts';
import { isNodeName } from '../wire/subjects.ts';
import { duplicatesOf, type FleetClient } from './client.ts';
import { checkWait } from './errors.ts';
import { chooseSource } from './source.ts';

export interface DiscoverOptions {
  readonly filter: Filter;
  readonly collective?: string;
  /** Only nodes that have it. */
  readonly agent?: string;
  readonly timeoutMs?: number;
  readonly windowed?: boolean;
  /** `broadcast`, or the name of a plugin of kind discovery. Default: `default_discovery_method` of the configuration. */
  readonly method?: string;
  /** Options of the source. Default: `default_discovery_options` of the configuration. */
  readonly methodOptions?: Readonly<Record<string, string>>;
  /** File with the names of the nodes. */
  readonly nodesFile?: string;
  /** The names as text: replies as `req --json` prints them, or a list in JSON. */
  readonly piped?: string;
  readonly federations?: readonly string[];
  readonly signal?: AbortSignal;
}

/** What a source knows of a node. */
export interface KnownNode {
  readonly identity: string;
  /** Heard of in time; not in time; said that it stops. */
  readonly state?: 'present' | 'silent' | 'stopped';
  /** When it was last heard of, in Unix seconds. */
  readonly seen?: number;
}

export interface Discovered {
  /** In the order of the source, each name once. */
  readonly nodes: readonly string[];
  /** The source; `identities` if names were given and nobody had to be asked. */
  readonly method: string;
  readonly ms: number;
  /** Names that two nodes answered to. */
  readonly duplicates: readonly string[];
  /** What the source knows of the nodes, if more than names. */
  readonly known?: readonly KnownNode[];
  /** What the user should know of how they were found. */
  readonly notes?: readonly string[];
}

const maxShown = 60;

/** @throws FilterError for an unknown source or what it can't honour, what the source and the client throw */
export async function discover(client: FleetClient, options: DiscoverOptions): Promise<Discovered> {
  checkWait('discovery', options.timeoutMs);
  const begun = performance.now();
  const chosen = chooseSource(options, client.config);
  const found = chosen.source === 'broadcast' ? await broadcast(client, options) : await ask(client, options, chosen);
  const { method = chosen.source, known, notes = [] } = found;
  const { names, note } = onlyNames(found.names, method);
  return {
    nodes: [...new Set(names)],
    method,
    ms: performance.now() - begun,
    duplicates: method === 'broadcast' ? duplicatesOf(names) : [],
    ...(known && { known: known.filter(({ identity }) => isNodeName(identity)) }),
    notes: [...chosen.notes, ...notes, ...note],
  };
}

/** A source may tell anything, and what is no name would be a pattern for many nodes, or end the connection. @throws FilterError */
function onlyNames(names: readonly string[], method: string): { names: readonly string[]; note: string[] } {
  const wrong = names.filter((name) => !isNodeName(name));
  const [first] = wrong;
  if (first === undefined) return { names, note: [] };
  const shown = printable(JSON.stringify(first.slice(0, maxShown)));
  if (method === 'identities') throw new FilterError(`${shown} is no name of a node`);
  const many = wrong.length === 1 ? `${shown}, which is no name` : `${wrong.length} names that are none, such as ${shown}`;
  return {
    names: names.filter(isNodeName),
    note: [`${method} told of ${many} of a node; ${wrong.length === 1 ? 'it is' : 'they are'} left out`],
  };
}

interface Found {
  readonly names: readonly string[];
  readonly method?: string;
  readonly known?: readonly KnownNode[];
  readonly notes?: readonly string[];
}

async function broadcast(client: FleetClient, options: DiscoverOptions): Promise<Found> {
  const names = identitiesOnly(options.filter);
  if (names) return { names, method: 'identities' };
  const { agent, filter, collective, timeoutMs, windowed, signal } = options;
  const { answers } = await client.ping({
    filter: agent === undefined ? filter : withAgent(filter, agent),
    ...(collective !== undefined && { collective }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(windowed !== undefined && { windowed }),
    ...(signal && { signal }),
  });
  return { names: answers.map(({ sender }) => sender) };
}

/** The names of a filter that has only names and no pattern: nobody needs to be asked. @throws FilterError */
function identitiesOnly({ fact, cf_class, identity, compound }: Filter): readonly string[] | undefined {
  const foreign = identity.find((name) => /^(pql|group):/.test(name));
  if (foreign !== undefined)
    throw new FilterError(
      `-I ${foreign} is no name of a node; it needs --dm ${foreign.startsWith('pql:') ? 'puppetdb' : 'inventory'}`,
    );
  if (identity.length === 0 || fact.length + cf_class.length + compound.length > 0) return undefined;
  return identity.some((name) => name.startsWith('/')) ? undefined : identity;
}

async function ask(
  client: FleetClient,
  { filter, agent, collective, timeoutMs, federations, signal }: DiscoverOptions,
  { source, options, input }: ReturnType<typeof chooseSource>,
): Promise<Found> {
  const { nodes, notes = [] } = (await client.callSource(
    source,
    {
      filter: agent === undefined ? filter : withAgent(filter, agent),
      ...(agent !== undefined && { agent }),
      collective: collective ?? client.mainCollective,
      ...(federations && { federations }),
      timeoutMs: timeoutMs ?? client.config.discovery_timeout * 1000,
      options,
      folder: process.cwd(),
      ...(input !== undefined && { input }),
    },
    signal,
  )) as { nodes: readonly KnownNode[]; notes?: readonly string[] };
  const known = nodes.some(({ state, seen }) => state !== undefined || seen !== undefined);
  return { names: nodes.map(({ identity }) => identity), ...(known && { known: nodes }), notes };
}
