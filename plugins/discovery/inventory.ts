// Nodes from an inventory file: which there are, what they are, and groups of them.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { type InventoryFile, validate } from '#schemas/choria/discovery/v1/inventory_file';
import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { buildFilter, emptyFilter, type Filter } from '../wire/filter.ts';
import { localMatcher } from '../wire/local-filter.ts';
import { type DiscoverParams, DiscoveryError, type Found, refuseOtherOptions } from './request.ts';

const source = 'plugin.choria.discovery.inventory.source';
const schema = 'https://choria.io/schemas/choria/discovery/v1/inventory_file.json';
const groupPrefix = 'group:';

type Node = InventoryFile['nodes'][number];

export default definePlugin({
  kind: 'discovery',
  version: '1.0.0',
  create: (host: Host) => ({
    methods: {
      'discovery/discover': (params: DiscoverParams): Found => {
        refuseOtherOptions('inventory', params, ['file', 'novalidate']);
        const file = params.options.file || (host.config[source] as string | undefined);
        if (!file) throw new DiscoveryError(`inventory needs a file: --do file=FILE, or ${source} in the configuration`);
        const path = resolve(params.folder ?? '.', file);
        const inventory = readInventory(path, { check: params.options.novalidate === undefined });
        return { nodes: findNodes(inventory, params).map((identity) => ({ identity })) };
      },
    },
  }),
});

/** @throws DiscoveryError that names the file and the field */
export function readInventory(file: string, { check = true } = {}): InventoryFile {
  let value: unknown;
  try {
    const text = readFileSync(file, 'utf8');
    value = /\.ya?ml$/.test(file) ? parse(text) : JSON.parse(text);
  } catch (error) {
    throw new DiscoveryError(`${file}: ${(error as Error).message.split('\n')[0]}`, { cause: error });
  }
  if ((value as { $schema?: unknown } | null)?.$schema !== schema)
    throw new DiscoveryError(`${file}: it is no inventory file; it must have $schema: ${schema}`);
  if (check && !validate(value)) {
    const [problem] = validate.errors ?? [];
    const at = problem?.instancePath.slice(1).replaceAll('/', '.') || 'the file';
    const extra = problem?.keyword === 'additionalProperties' ? ` (${String(problem.params.additionalProperty)})` : '';
    throw new DiscoveryError(`${file}: ${at} ${problem?.message}${extra}`);
  }
  return lenient(value as Partial<InventoryFile>);
}

/** A file that was not checked may lack anything. */
function lenient(file: Partial<InventoryFile>): InventoryFile {
  const nodes = (file.nodes ?? []).map((node: Partial<Node>) => ({
    name: String(node.name ?? ''),
    collectives: node.collectives ?? [],
    facts: node.facts ?? {},
    classes: node.classes ?? [],
    agents: node.agents ?? [],
  }));
  return { $schema: schema, ...(file.groups && { groups: file.groups }), nodes };
}

/** @throws DiscoveryError for groups that can't be used so, FilterError */
export function findNodes(
  inventory: InventoryFile,
  { filter, collective }: Pick<DiscoverParams, 'filter' | 'collective'>,
): string[] {
  if (filter.compound.length > 1) throw new DiscoveryError('inventory takes one expression; join several with and');
  if (filter.identity.some((name) => name.startsWith(groupPrefix))) return findGroups(inventory, filter);
  const members = inventory.nodes.filter(({ collectives }) => collectives.includes(collective));
  return matching(members, filter);
}

function findGroups(inventory: InventoryFile, { identity, fact, cf_class, compound, agent = [] }: Filter): string[] {
  if (!identity.every((name) => name.startsWith(groupPrefix)))
    throw new DiscoveryError('groups and names of nodes can not be mixed in -I; ask for one of both');
  if (fact.length + cf_class.length + compound.length > 0 || agent.length > 1)
    throw new DiscoveryError('a group is a filter of its own; leave -F, -C, -A and -S out, or write a further group');
  const names = identity.flatMap((word) => {
    const name = word.slice(groupPrefix.length);
    const group = inventory.groups?.find((item) => item.name === name);
    if (!group)
      throw new DiscoveryError(
        `the inventory has no group '${name}'; it has ${inventory.groups?.map((item) => item.name).join(', ') || 'none'}`,
      );
    return matching(inventory.nodes, group.filter ? buildFilter(group.filter) : emptyFilter);
  });
  return [...new Set(names)].sort();
}

function matching(nodes: readonly Node[], filter: Filter): string[] {
  const fits = localMatcher(filter);
  return nodes.filter((node) => fits({ ...node, identity: node.name })).map(({ name }) => name);
}
