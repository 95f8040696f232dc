// The numbers of nats-server, from its monitoring pages, under the names that Choria's broker gives them.

import type { Metrics } from '../../core/sdk/typescript/index.ts';

type Page = Readonly<Record<string, unknown>>;

const requestMs = 3_000;

/** Field of /varz by the name of the metric, with what it says. */
const networkMetrics: Readonly<Record<string, readonly [field: string, help: string]>> = {
  connections: ['connections', 'Clients that are connected'],
  total_connections: ['total_connections', 'Connections since the start'],
  routes: ['routes', 'Routes to other brokers of the cluster'],
  remotes: ['remotes', 'Other brokers of the cluster'],
  leafnode_remotes: ['leafnodes', 'Leaf nodes that are connected'],
  in_msgs: ['in_msgs', 'Messages that came in'],
  out_msgs: ['out_msgs', 'Messages that went out'],
  in_bytes: ['in_bytes', 'Bytes that came in'],
  out_bytes: ['out_bytes', 'Bytes that went out'],
  slow_consumers: ['slow_consumers', 'Clients that were cut off since they did not keep up'],
  subscriptions: ['subscriptions', 'Subscriptions'],
};

/** Field of an entry of /leafz. */
const leafMetrics: Readonly<Record<string, readonly [field: string, help: string]>> = {
  in_msgs: ['in_msgs', 'Messages that came in from a leaf node'],
  out_msgs: ['out_msgs', 'Messages that went out to a leaf node'],
  in_bytes: ['in_bytes', 'Bytes that came in from a leaf node'],
  out_bytes: ['out_bytes', 'Bytes that went out to a leaf node'],
  subscriptions: ['subscriptions', 'Subscriptions of a leaf node'],
};

/** Path in /jsz. */
const streamMetrics: Readonly<Record<string, readonly [path: string, help: string]>> = {
  memorystore_max: ['config.max_memory', 'Memory that streams may use'],
  memorystore_used: ['memory', 'Memory that streams use'],
  filestore_max: ['config.max_storage', 'Disk that streams may use'],
  filestore_used: ['storage', 'Disk that streams use'],
  streams: ['streams', 'Streams'],
  consumers: ['consumers', 'Consumers of streams'],
  messages: ['messages', 'Messages in streams'],
  message_bytes: ['bytes', 'Bytes of messages in streams'],
};

/** Reads the pages and sets the numbers. @throws Error if nats-server does not answer */
export async function tellNumbers(metrics: Metrics, monitorPort: number, identity: string, streams: boolean): Promise<void> {
  const page = async (name: string): Promise<Page> => {
    const response = await fetch(`http://127.0.0.1:${monitorPort}/${name}`, { signal: AbortSignal.timeout(requestMs) });
    return (await response.json()) as Page;
  };
  const set = (name: string, value: unknown, labels: Readonly<Record<string, string>>, help: string) =>
    typeof value === 'number' ? metrics.set(name, value, labels, { type: 'gauge', help }) : undefined;

  const general = await page('varz');
  for (const [name, [field, help]] of Object.entries(networkMetrics))
    await set(`choria_network_${name}`, general[field], { identity }, help);

  const { leafs } = (await page('leafz')) as { leafs?: readonly Page[] };
  for (const leaf of leafs ?? []) {
    const labels = { identity, host: String(leaf.ip ?? ''), port: String(leaf.port ?? ''), account: String(leaf.account ?? '') };
    for (const [name, [field, help]] of Object.entries(leafMetrics))
      await set(`choria_network_leafnode_${name}`, leaf[field], labels, help);
    await set('choria_network_leafnode_rtt_ms', milliseconds(leaf.rtt), labels, 'Time to a leaf node and back');
  }
  if (!streams) return;
  const state = await page('jsz');
  for (const [name, [path, help]] of Object.entries(streamMetrics))
    await set(`choria_network_stream_${name}`, at(state, path), { identity }, help);
}

function at(page: Page, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (value as Page | undefined)?.[key], page);
}

/** Milliseconds of Go's `1.234ms`, `512µs`, `2s`. */
function milliseconds(text: unknown): number | undefined {
  const [, amount, unit] = /^([\d.]+)(µs|us|ns|ms|s)$/.exec(String(text)) ?? [];
  if (amount === undefined) return undefined;
  return Number(amount) * ({ s: 1_000, ms: 1, ns: 1e-6 }[unit ?? ''] ?? 1e-3);
}
