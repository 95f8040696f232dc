// What every source is asked, and how it refuses what it can't honour.

import type { Filter } from '../wire/filter.ts';

export interface DiscoverParams {
  readonly filter: Filter;
  readonly agent?: string;
  readonly collective: string;
  readonly federations?: readonly string[];
  readonly timeoutMs: number;
  readonly options: Readonly<Record<string, string>>;
  readonly folder?: string;
  readonly input?: string;
}

export interface FoundNode {
  readonly identity: string;
  readonly state?: 'present' | 'silent' | 'stopped';
  /** Unix seconds. */
  readonly seen?: number;
}

export interface Found {
  readonly nodes: readonly FoundNode[];
  readonly notes?: readonly string[];
}

/** A search that can't be done; the message is for the user. */
export class DiscoveryError extends Error {
  override readonly name = 'DiscoveryError';
  readonly code = 'DISCOVERY';
}

/** @throws DiscoveryError for an option that the source does not have */
export function refuseOtherOptions(source: string, { options }: DiscoverParams, known: readonly string[]): void {
  const other = Object.keys(options).find((name) => !known.includes(name));
  if (other !== undefined)
    throw new DiscoveryError(`${source} has no option '${other}'; it has ${known.length === 0 ? 'none' : known.join(', ')}`);
}

/** The parts of a filter, by the flags that make them. The agent that is going to be called anyway is no wish of the user's. */
export function flagsOf({ filter, agent }: DiscoverParams): string[] {
  return [
    ...(filter.fact.length > 0 ? ['-F'] : []),
    ...(filter.cf_class.length > 0 ? ['-C'] : []),
    ...((filter.agent ?? []).some((name) => name !== agent) ? ['-A'] : []),
    ...(filter.identity.length > 0 ? ['-I'] : []),
    ...(filter.compound.length > 0 ? ['-S'] : []),
  ];
}

/** @throws DiscoveryError for a filter that the source can't hold against a node */
export function refuseOtherFilters(source: string, params: DiscoverParams, honoured: readonly string[]): void {
  const other = flagsOf(params).filter((flag) => !honoured.includes(flag));
  if (other.length > 0)
    throw new DiscoveryError(
      `${source} can not honour ${other.join(' and ')}: it knows ${honoured.join(', ')} only; leave the filter out, or use another --dm`,
    );
}
