// The connection of a service, which waits for its brokers as long as it takes.

import type { Host } from '../../core/sdk/typescript/index.ts';
import type { Brokers } from './brokers.ts';
import { machineIdentity } from './identity.ts';

/** How often DNS is asked again while no broker can be reached. */
const askAgainMs = 5_000;

export interface LastingConnection {
  readonly connection: string;
  readonly name: string;
  /** Without it the connection is not encrypted. */
  readonly tls?: object;
  readonly connectTimeoutMs: number;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** File with the seed that the token is for. */
  readonly seed?: string;
  /** How soon DNS is asked again, and how seldom at last; without it at an even interval. */
  readonly backoff?: { readonly firstMs: number; readonly mostMs: number };
}

/**
 * Opens it in the background. While no broker can be reached DNS is asked again, since its answers change and it may come up
 * later than this machine.
 */
export async function openLasting(
  host: Host,
  { backoff, ...spec }: LastingConnection,
  look: () => Promise<Brokers>,
): Promise<Brokers> {
  const find = async () => {
    const found = await look();
    await countLookups(host, found);
    return found;
  };
  let current = await find();
  let said = '';
  const open = async () => {
    const problem = current.problems.join('; ');
    if (problem !== '' && problem !== said)
      host.log.warn(`brokers could not be looked up (${problem}); trying ${current.urls.join(', ') || 'none'}`);
    said = problem;
    if (current.urls.length > 0) await host.bus.open({ ...spec, servers: current.urls, wait: false, keepOrder: current.ordered });
  };
  await open();
  const isDue = backoff ? growing(backoff) : () => true;
  if (current.from !== 'configuration')
    await host.timers.set({ id: `brokers:${spec.connection}`, everyMs: backoff?.firstMs ?? askAgainMs }, async () => {
      if (!isDue() || (await host.bus.info(spec.connection)).connected) return;
      const found = await find();
      // What is not there now may have been moved, not ended.
      if (found.urls.length === 0 || (found.from === 'nowhere' && current.from === 'DNS')) return;
      if (found.urls.toSorted().join() === current.urls.toSorted().join()) return;
      current = found;
      await open();
    });
  return current;
}

/** Whether it is time again: each wait is twice the one before, up to the longest, give or take a half. */
function growing({ firstMs, mostMs }: NonNullable<LastingConnection['backoff']>): () => boolean {
  let waitMs = firstMs;
  let due = 0;
  return () => {
    if (Date.now() < due) return false;
    waitMs = Math.min(waitMs * 2, mostMs);
    due = Date.now() + waitMs * (0.5 + Math.random());
    return true;
  };
}

/** Where numbers are kept at all. */
export async function countLookups(host: Host, { asked }: Brokers): Promise<void> {
  if (asked === 0 || !host.capabilities.metrics) return;
  const labels = { identity: machineIdentity(host.config.identity as string | undefined) };
  await host.metrics.add('choria_dns_srv_lookups', asked, labels, {
    type: 'counter',
    help: 'SRV records that DNS was asked for',
  });
}
