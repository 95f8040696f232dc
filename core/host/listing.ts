// How a plugin is shown to people and to plugins that ask.

import type { Plugin } from './plugin.ts';
import type { PluginSpec } from './spec.ts';

export interface AnnouncedPlugin {
  readonly kind: string;
  readonly name: string;
  readonly description?: string;
  readonly version?: string;
  readonly resources?: Readonly<Record<string, unknown>>;
}

export interface PluginListing {
  readonly kind: string;
  readonly name: string;
  readonly bundle: string;
  readonly version: string;
  readonly description: string;
  readonly state: string;
  /** Why it is in this state, if there is more to say. */
  readonly reason: string | null;
  readonly runner: string;
  readonly pid: number | null;
  readonly calls: number;
  readonly errors: number;
  readonly restarts: number;
  readonly inFlight: number;
  readonly waiting: number;
  readonly declarations: number;
  /** Milliseconds over the last calls. */
  readonly latency: { readonly p50: number; readonly p99: number } | null;
  readonly announcedBy: string | null;
  readonly resources: Readonly<Record<string, unknown>>;
}

/** One that the configuration leaves off: it is not there, but what it would hand out is known. */
export function describeSwitchedOff(spec: PluginSpec): PluginListing {
  const { kind, name, bundle, bundleVersion: version, description, runner, resources } = spec;
  return {
    ...{ kind, name, bundle, version, description, runner, resources },
    state: 'off',
    reason: `${spec.when} is not true in the configuration`,
    pid: null,
    ...{ calls: 0, errors: 0, restarts: 0, inFlight: 0, waiting: 0, declarations: 0 },
    latency: null,
    announcedBy: null,
  };
}

export function describePlugin(plugin: Plugin, announced?: AnnouncedPlugin): PluginListing {
  const { spec, state, statistics } = plugin;
  return {
    kind: announced?.kind ?? spec.kind,
    name: announced?.name ?? spec.name,
    bundle: spec.bundle,
    version: announced?.version ?? plugin.version ?? spec.bundleVersion,
    description: announced?.description ?? spec.description,
    state: state.at,
    reason: 'reason' in state ? state.reason : null,
    runner: plugin.runBy ?? spec.runner,
    pid: plugin.pid ?? null,
    calls: statistics.calls,
    errors: statistics.errors,
    restarts: statistics.restarts,
    inFlight: plugin.inFlight,
    waiting: plugin.waiting,
    declarations: plugin.declarations.size,
    latency: statistics.latency(),
    announcedBy: announced ? plugin.name : null,
    resources: announced ? (announced.resources ?? {}) : spec.resources,
  };
}
