// What plugins may ask of the host: looks the method up, checks params and grant, and hands over to the capability.

import type { Host } from '../host/host.ts';
import type { Caller } from '../host/plugin.ts';
import { PluginError } from '../protocol/errors.ts';
import type { Params } from '../protocol/messages.ts';
import type { IncomingCall } from '../protocol/peer.ts';
import { Connections, createBus } from './bus.ts';
import { type Capability, notGranted } from './capability.ts';
import { createEvents } from './events.ts';
import { createHostControl } from './host-control.ts';
import { createKv } from './kv.ts';
import { createMetrics } from './metrics.ts';
import { createObjects } from './objects.ts';
import { createPlugins } from './plugins.ts';
import { createProcesses } from './processes.ts';
import { createTerminal, type TerminalEnds } from './terminal.ts';
import { createTimers } from './timers.ts';
import { createTraces } from './traces.ts';

export interface Capabilities {
  answer(method: string, params: Params, caller: Caller, call: IncomingCall): unknown;
  close(): Promise<void>;
}

/** The entry under `needs:` that grants a method: the part before the slash, but for those that say otherwise. */
const grantedBy: Readonly<Record<string, string>> = { 'announce/set': 'announce' };

/** These say themselves what is missing, with the kind that was asked for. */
const namesItsKind: ReadonlySet<string> = new Set(['plugins', 'announce']);

/** What is written under `needs:` for those that take more than `true`. */
const writtenAs: Readonly<Record<string, string>> = {
  bus: '{connections: [name]}',
  process: '[program]',
  events: '{emit: [type], subscribe: [type]}',
};

export function createCapabilities(host: Host): Capabilities {
  const contract = host.runtime.capabilities;
  const connections = new Connections();
  const all: Capability[] = [
    createBus(host, connections),
    createKv(host, connections),
    createObjects(connections),
    createPlugins(host),
    createTimers(),
    createProcesses(host),
    createEvents(),
    createMetrics(host),
    createTraces(host),
    createTerminal(host.options.terminal),
    createHostControl(host),
  ];
  const methods = new Map(all.flatMap((capability) => Object.entries(capability.methods)));
  return {
    answer: (method, params, caller, call) => {
      const handler = methods.get(method);
      if (!handler)
        throw new PluginError(
          'UNKNOWN_METHOD',
          `unknown method ${method}; a plugin may ask for ${[...methods.keys()].join(', ')}`,
        );
      const need = grantedBy[method] ?? method.slice(0, method.indexOf('/'));
      if (!namesItsKind.has(need) && !caller.spec.needs[need as keyof typeof caller.spec.needs])
        throw notGranted(caller, `may not use ${method}`, need, writtenAs[need]);
      contract.methods.get(method)?.checkParams(params);
      return handler(params as never, caller, call);
    },
    close: async () => {
      for (const capability of all.reverse()) await capability.close?.();
    },
  };
}

export type { TerminalEnds };
