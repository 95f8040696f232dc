// The calls of a host as spans, for a plugin that hands them on: which call was made for which other, and how long it took.

import type { Host } from '../host/host.ts';
import type { Capability } from './capability.ts';

export function createTraces(host: Host): Capability {
  return {
    methods: {
      'traces/watch': async ({ id }: { id: string }, caller) => {
        await caller.declare('trace', id, {}, () =>
          host.traces.watch(({ trace, span, parent, plugin, method, time, ms, outcome, message }) => {
            if (span === undefined || parent === undefined || trace === null) return;
            const entry = { trace, span, parent, plugin, method, time, ms, outcome, ...(message !== null && { message }) };
            caller.plugin.notify('traces/span', { id, ...entry });
          }),
        );
      },
    },
  };
}
