// The part of a filter that travels in the message. Nodes hold it against themselves once more, and policies that require a
// filter see that there is one.

import { emptyFilter, type Filter } from '../wire/filter.ts';

/** Names that are asked of PuppetDB or an inventory; a node would take them for its own name. */
const forDiscoveryOnly = /^(pql|group):/;
/** The message goes to every target, so a long list of names in it would be sent as often as it has names. */
const maxIdentities = 64;
/** Where the nodes themselves decided. Another source may know them otherwise than they do, and what it found would be silent. */
const decidedByNodes: ReadonlySet<string> = new Set(['broadcast', 'mc', 'identities']);

/** @param method by which the nodes were discovered */
export function travellingFilter(filter: Filter, method: string): Filter {
  if (!decidedByNodes.has(method)) return emptyFilter;
  const { identity } = filter;
  // One name fits or another: a part of the list would shut out nodes that the rest of it found.
  const travels = identity.length <= maxIdentities && !identity.some((name) => forDiscoveryOnly.test(name));
  return travels ? filter : { ...filter, identity: [] };
}
