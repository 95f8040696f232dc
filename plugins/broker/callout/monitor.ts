// The connections of a nats-server, as its monitor tells them.

import { type Connections, validate } from '#schemas/nats/v2/connections';
import type { Monitor } from './names.ts';

const requestMs = 5_000;
const pageSize = 5_000;

export function connectionMonitor(port: () => number, account: string): Monitor {
  const page = async (query: string): Promise<Connections> => {
    const response = await fetch(`http://127.0.0.1:${port()}/connz?${query}`, { signal: AbortSignal.timeout(requestMs) });
    const answer: unknown = await response.json();
    if (!validate(answer)) throw new Error('nats-server tells of its connections in a way that is not known here');
    return answer;
  };
  return {
    isOpen: async (connection) => (await page(`cid=${connection}`)).connections.length > 0,
    all: async () => {
      const names = new Map<number, string>();
      for (let offset = 0; ; offset += pageSize) {
        const { connections } = await page(`acc=${account}&auth=1&limit=${pageSize}&offset=${offset}`);
        for (const { cid, name = '' } of connections) if (name !== '') names.set(cid, name);
        if (connections.length < pageSize) return names;
      }
    },
  };
}
