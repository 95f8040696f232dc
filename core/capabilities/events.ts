// Events between the plugins of one host.

import type { Params } from '../protocol/messages.ts';
import { type Capability, notGranted } from './capability.ts';

interface Listener {
  readonly type: string;
  readonly tell: (type: string, data: Params) => void;
}

export function createEvents(): Capability {
  const listeners = new Set<Listener>();
  return {
    methods: {
      'events/emit': ({ type, data }: { type: string; data: Params }, caller) => {
        if (!within(caller.spec.needs.events?.emit, type))
          throw notGranted(caller, `may not emit ${type}`, 'events', `{emit: [${type}]}`);
        for (const listener of listeners) if (matches(listener.type, type)) listener.tell(type, data);
      },
      'events/subscribe': async (params: { id: string; type: string }, caller) => {
        if (!within(caller.spec.needs.events?.subscribe, params.type))
          throw notGranted(caller, `may not subscribe to ${params.type}`, 'events', `{subscribe: [${params.type}]}`);
        await caller.declare('listener', params.id, params, () => {
          const listener: Listener = {
            type: params.type,
            tell: (type, data) => {
              caller.plugin
                .deliver('events/event', { subscription: params.id, type, data }, 30_000)
                .catch((error: Error) => caller.plugin.log.warn({ event: type }, error.message));
            },
          };
          listeners.add(listener);
          return () => void listeners.delete(listener);
        });
      },
    },
  };
}

function within(granted: readonly string[] | undefined, type: string): boolean {
  return granted?.some((pattern) => matches(pattern, type)) ?? false;
}

function matches(pattern: string, type: string): boolean {
  return pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : pattern === type;
}
