// Sources of nodes, asked as the client asks them.

import { buildFilter, type FilterFlags, withAgent } from '../../plugins/wire/filter.ts';
import type { TestHost } from './hosts.ts';

/**
 * For clients on a busy machine. The first answer of a broadcast may take its time, and each further one a second; `muster ping`
 * has no window, so that it takes all of the time.
 */
export const patience = {
  'plugin.choria.network.connect_timeout': '10s',
  discovery_timeout: 5,
  'plugin.choria.discovery.broadcast.windowed_timeout': true,
  'plugin.muster.discovery.window': '1s',
};

export interface Asked extends FilterFlags {
  readonly options?: Readonly<Record<string, string>>;
  readonly agent?: string;
  readonly collective?: string;
  readonly timeoutMs?: number;
  readonly folder?: string;
  readonly input?: string;
  readonly federations?: readonly string[];
}

export interface Answer {
  readonly nodes: readonly { readonly identity: string; readonly state?: string; readonly seen?: number }[];
  readonly notes?: readonly string[];
}

export async function askSource({ host }: TestHost, source: string, asked: Asked = {}): Promise<Answer> {
  const { options = {}, agent, collective = 'mcollective', timeoutMs = 20_000, folder, input, federations, ...flags } = asked;
  const filter = buildFilter(flags);
  return (await host.call('discovery', source, 'discovery/discover', {
    filter: agent === undefined ? filter : withAgent(filter, agent),
    collective,
    timeoutMs,
    options,
    ...(agent !== undefined && { agent }),
    ...(folder !== undefined && { folder }),
    ...(input !== undefined && { input }),
    ...(federations && { federations }),
  })) as Answer;
}

export async function namesOf(host: TestHost, source: string, asked: Asked = {}): Promise<string[]> {
  return (await askSource(host, source, asked)).nodes.map(({ identity }) => identity);
}
