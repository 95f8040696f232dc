// Timers that belong to the host, so that they survive the process that asked for them.

import { PluginError } from '../protocol/errors.ts';
import type { Capability } from './capability.ts';

interface TimerParams {
  readonly id: string;
  readonly everyMs?: number;
  readonly afterMs?: number;
  /** The first time is put off by a random share of this. */
  readonly splayMs?: number;
}

const fireMs = 600_000;

export function createTimers(): Capability {
  return {
    methods: {
      'timers/set': async (params: TimerParams, caller) => {
        const { id, everyMs, afterMs, splayMs = 0 } = params;
        if (everyMs === undefined && afterMs === undefined)
          throw new PluginError('INVALID_PARAMS', `timer ${id} needs everyMs or afterMs`);
        await caller.declare('timer', id, params, () => {
          let timer: NodeJS.Timeout | undefined;
          let ended = false;
          const fire = async () => {
            await caller.plugin
              .deliver('timers/fire', { id }, fireMs)
              .catch((error: Error) => caller.plugin.log.warn({ timer: id }, error.message));
            if (everyMs !== undefined && !ended) timer = setTimeout(fire, everyMs);
          };
          timer = setTimeout(fire, (afterMs ?? everyMs ?? 0) + Math.random() * splayMs);
          return () => {
            ended = true;
            clearTimeout(timer);
          };
        });
      },
      'timers/clear': async ({ id }: { id: string }, caller) => {
        if (!(await caller.plugin.declarations.undeclare('timer', id)))
          throw new PluginError('NOT_FOUND', `${caller.name} has no timer ${id}`);
      },
    },
  };
}
