// What an author writes, and what the author is given. Serving it is serve.ts.

import type { Json, Params } from '../../protocol/messages.ts';
import type { CallOptions } from '../../protocol/peer.ts';
import type { Bus } from './bus.ts';
import type { Announce, Events, HostControl, Metrics, Plugins, Processes, Terminal, Timers, Traces } from './capabilities.ts';
import type { Kv } from './kv.ts';
import type { Log } from './log.ts';
import type { Objects } from './objects.ts';

/** One method of the plugin's kind. Returns the result, or a promise of it; throws to answer with an error. */
export type Handler = (params: never, call: Call) => unknown;
export type Handlers = Readonly<Record<string, Handler>>;

/** A running plugin: its methods and what happens at its ends. */
export interface PluginInstance {
  readonly methods: Handlers;
  /** Declares what is to outlive the process: subscriptions, timers, announced plugins. The host switches when it resolves. */
  activate?(): Promise<void> | void;
  /** The polite end. Afterwards the process exits. */
  shutdown?(): Promise<void> | void;
}

/** A plugin as its author defines it, either with `methods` at once or with `create` when it keeps state. */
export interface PluginDefinition {
  readonly kind: string;
  /** The plugin's own version, for people. */
  readonly version: string;
  readonly methods?: Handlers;
  activate?(host: Host): Promise<void> | void;
  shutdown?(host: Host): Promise<void> | void;
  /** Makes one instance. Called once for each host, after the handshake: all state belongs in here. */
  create?(host: Host): PluginInstance | Promise<PluginInstance>;
}

/** What a call knows about itself. */
export interface Call {
  /** Aborted when the caller cancels, the deadline passes at the host, or the host goes. */
  readonly signal: AbortSignal;
  readonly cancelled: boolean;
  /** Milliseconds that are left; Infinity if there is no deadline. */
  remainingMs(): number;
  readonly trace: string | undefined;
  readonly depth: number;
  /** The announced plugin that is meant, if this plugin announced several. */
  readonly plugin: string | undefined;
  readonly log: Log;
  /** Sends a part of the answer; wait for it to keep memory bounded. */
  progress(value: unknown): Promise<void>;
}

/** Options of a capability call. `for` passes on trace, depth and deadline of the call it is made for. */
export type HostCallOptions = CallOptions & { readonly for?: Call | undefined };

/** The host, as far as `needs:` in the manifest reaches. */
export interface Host {
  readonly bundle: string;
  readonly plugin: string;
  readonly kind: string;
  /** Values of the configuration keys in the manifest, validated and typed. */
  readonly config: Params;
  /** What was granted. */
  readonly capabilities: Params;
  /** A durable folder of this plugin's own; null unless `needs: {state: true}`. */
  readonly stateFolder: string | null;
  readonly log: Log;
  /** Calls a capability by its method name. @throws PluginError `NOT_GRANTED` and what the capability answers */
  call(method: string, params: Params, options?: HostCallOptions): Promise<unknown>;
  /** The fact of this machine at a gjson path, or all of them; null if there is none. Needs `plugins: [facts]`. */
  facts(path?: string, options?: HostCallOptions): Promise<unknown>;
  readonly bus: Bus;
  readonly kv: Kv;
  readonly objects: Objects;
  readonly plugins: Plugins;
  readonly announce: Announce;
  readonly timers: Timers;
  readonly processes: Processes;
  readonly events: Events;
  readonly metrics: Metrics;
  readonly traces: Traces;
  readonly terminal: Terminal;
  readonly control: HostControl;
}

/** Marks a plugin definition; the default export of a plugin module. */
export function definePlugin(definition: PluginDefinition): PluginDefinition {
  if (!definition.create && !definition.methods) throw new TypeError('definePlugin needs `methods` or `create`');
  return definition;
}

export type { Json, Params };
