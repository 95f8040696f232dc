// The connections of a nats-server, as its monitor tells them.

import { type Connections, validate } from '#schemas/nats/v2/connections';
import type { Monitor } from './names.ts';

const requestMs = 5_000;
const pageSize = 5_000;

/** Which connections of an account are open. */
export async function openConnections(
  port: number,
  account: string,
): Promise<{ readonly server: string; readonly open: ReadonlySet<number> }> {
  const open = new Set<number>();
  for (let offset = 0; ; offset += pageSize) {
    const { server_id: server, connections } = await page(port, `acc=${account}&limit=${pageSize}&offset=${offset}`);
    for (const { cid } of connections) open.add(cid);
    if (connections.length < pageSize) return { server, open };
  }
}

export function connectionMonitor(port: () => number, account: string): Monitor {
  return {
    isOpen: async (connection) => (await page(port(), `cid=${connection}`)).connections.length > 0,
    all: async () => {
      const names = new Map<number, string>();
      for (let offset = 0; ; offset += pageSize) {
        const { connections } = await page(port(), `acc=${account}&auth=1&limit=${pageSize}&offset=${offset}`);
        for (const { cid, name = '' } of connections) if (name !== '') names.set(cid, name);
        if (connections.length < pageSize) return names;
      }
    },
  };
}

async function page(port: number, query: string): Promise<Connections> {
  const response = await fetch(`http://127.0.0.1:${port}/connz?${query}`, { signal: AbortSignal.timeout(requestMs) });
  const answer: unknown = await response.json();
  if (!validate(answer)) throw new Error('nats-server tells of its connections in a way that is not known here');
  return answer;
}
