// Calling other plugins, knowing which there are, and announcing those that a plugin found and answers for.

import type { Host } from '../host/host.ts';
import type { AnnouncedPlugin } from '../host/listing.ts';
import type { Caller } from '../host/plugin.ts';
import type { Params } from '../protocol/messages.ts';
import type { IncomingCall } from '../protocol/peer.ts';
import { type Capability, notGranted } from './capability.ts';

interface CallParams {
  readonly kind: string;
  readonly name: string;
  readonly method: string;
  readonly params: Params;
}

/** Several changes of one kind within this time are told once. */
const gatherMs = 20;

export function createPlugins(host: Host): Capability {
  const mayUse = (caller: Caller, kind: string) => {
    if (!caller.spec.needs.plugins?.includes(kind))
      throw notGranted(caller, `may not use plugins of kind ${kind}`, 'plugins', `[${kind}]`);
  };
  return {
    methods: {
      'plugins/call': ({ kind, name, method, params }: CallParams, caller, call: IncomingCall) => {
        mayUse(caller, kind);
        const { deadlineMs, trace, depth } = call.meta;
        return host.call(kind, name, method, params, {
          deadlineMs,
          trace,
          depth: (depth ?? 0) + 1,
          onProgress: (value) => void call.progress(value),
        });
      },
      'plugins/list': ({ kind }: { kind: string }, caller) => {
        mayUse(caller, kind);
        const plugins = host.list(kind).map(({ name, bundle, version, description, state, resources }) => ({
          kind,
          name,
          bundle,
          version,
          description,
          state,
          resources,
        }));
        return { plugins };
      },
      'plugins/watch': async ({ kind }: { kind: string }, caller) => {
        mayUse(caller, kind);
        await caller.declare('watch', kind, { kind }, () => {
          let timer: NodeJS.Timeout | undefined;
          const end = host.watchKinds((changed) => {
            if (changed !== kind || timer) return;
            timer = setTimeout(() => {
              timer = undefined;
              caller.plugin
                .deliver('plugins/changed', { kind }, 30_000)
                .catch((error: Error) => caller.plugin.log.warn({}, error.message));
            }, gatherMs);
          });
          return () => {
            clearTimeout(timer);
            end();
          };
        });
      },
      'announce/set': async ({ plugins }: { plugins: readonly AnnouncedPlugin[] }, caller) => {
        for (const { kind } of plugins)
          if (!caller.spec.needs.announce?.includes(kind))
            throw notGranted(caller, `may not announce plugins of kind ${kind}`, 'announce', `[${kind}]`);
        await caller.declare('announcement', 'all', plugins, () => host.announce(caller.plugin, plugins));
      },
    },
  };
}
