// Numbers of the provisioner, under the names of Choria's, for whoever shows them.

import type { Host } from '../../core/sdk/typescript/index.ts';
import type { Settings } from './config.ts';
import type { Hook } from './hook.ts';
import type { Journal } from './journal.ts';
import type { Status } from './status.ts';

interface RpcNumber {
  seconds: number;
  calls: number;
  errors: number;
}

export class RpcNumbers {
  readonly #all = new Map<string, RpcNumber>();

  add(rpc: string, ms: number, ok: boolean): void {
    const number = this.#all.get(rpc) ?? { seconds: 0, calls: 0, errors: 0 };
    number.seconds += ms / 1000;
    number.calls += 1;
    if (!ok) number.errors += 1;
    this.#all.set(rpc, number);
  }

  entries(): IterableIterator<[string, RpcNumber]> {
    return this.#all.entries();
  }
}

export interface NumberParts {
  readonly status: Status;
  readonly journal: Journal;
  readonly hook: Hook;
  readonly rpc: RpcNumbers;
  readonly settings: Settings;
}

export async function tellNumbers({ metrics }: Host, { status, journal, hook, rpc, settings }: NumberParts): Promise<void> {
  const site = { site: settings.site ?? '' };
  const set =
    (type: 'counter' | 'gauge') =>
    (name: string, value: number, help: string, labels: object = {}) =>
      metrics.set(`choria_provisioner_${name}`, value, { ...site, ...labels }, { type, help });
  const [count, gauge] = [set('counter'), set('gauge')];
  const { counters } = journal;
  const { deferred, failed, refused } = counters;
  await count('discovered', counters.seenByDiscovery, 'Nodes that a search found');
  await count('event_discovered', counters.seenByEvent, 'Nodes that announced themselves');
  await count('discover_cycles', counters.discoveries, 'Searches for nodes');
  await count('discovery_errors', counters.discoveryErrors, 'Searches that failed');
  await count('provision_errors', deferred + failed + refused, 'Attempts that came to nothing');
  await count('provisioned', counters.provisioned, 'Nodes that were enrolled');
  await count('helper_errors', hook.numbers.errors, 'Failures of the hook');
  await count('helper_shutdown_requests', hook.numbers.shutdowns, 'Nodes that the hook told to stop');
  await count('helper_time_sum', hook.numbers.ms / 1000, 'Seconds that the hook took');
  await count('helper_time_count', hook.numbers.calls, 'Calls of the hook');
  for (const [name, { seconds, calls, errors }] of rpc.entries()) {
    await count('rpc_time_sum', seconds, 'Seconds that requests took', { rpc: name });
    await count('rpc_time_count', calls, 'Requests to nodes', { rpc: name });
    await count('rpc_errors', errors, 'Requests to nodes that failed', { rpc: name });
  }
  await gauge('busy_workers', status.busy, 'Nodes in work');
  await gauge('work_queue_entries', status.queued, 'Nodes that could be tried now');
  await gauge('waiting_nodes', status.waiting, 'Nodes that wait');
  await gauge('paused', status.paused || !status.leads ? 1 : 0, 'Whether this provisioner does not work');
  await gauge('leader', status.leads ? 1 : 0, 'Whether this provisioner leads');
}
