// An agent: its actions as functions. The plugin around them, the replies and their status codes are made here.

import type { Params } from '../../protocol/messages.ts';
import { type Call, definePlugin, type Host, type PluginDefinition } from './plugin.ts';

const status = { ok: 0, aborted: 1, unknownAction: 2 } as const;

/** The request behind an invocation, as far as the one who invokes tells. */
export interface ActionRequest {
  readonly id?: string;
  readonly caller?: string;
  readonly sender?: string;
  readonly collective?: string;
  /** Unix seconds. */
  readonly time?: number;
  /** Seconds that the request may be old. */
  readonly ttl?: number;
}

/** What an action knows about its call. */
export interface ActionCall extends Call {
  readonly agent: string;
  readonly action: string;
  readonly request: ActionRequest;
}

/** Does one action: takes the input that the DDL describes and returns the data of the reply, or a promise of it. */
export type Action = (input: never, call: ActionCall) => unknown;
export type Actions = Readonly<Record<string, Action>>;

export interface AgentInstance {
  readonly actions: Actions;
  activate?(): Promise<void> | void;
  shutdown?(): Promise<void> | void;
}

/** An agent as its author defines it, either with `actions` at once or with `create` when it keeps state or asks the host. */
export interface AgentDefinition {
  /** As in the DDL. */
  readonly name: string;
  readonly version: string;
  /** By their names in the DDL. */
  readonly actions?: Actions;
  /** Makes one instance. Called once for each host: all state belongs in here. */
  create?(host: Host): AgentInstance | Promise<AgentInstance>;
}

/** Ends an action with a status: 1 aborted, 3 missing data, 4 invalid data, 5 unknown error. */
export class ActionError extends Error {
  override readonly name = 'ActionError';
  readonly status: number;
  readonly data: Params;

  constructor(message: string, options: { readonly status?: number; readonly data?: Params; readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.status = options.status ?? status.aborted;
    this.data = options.data ?? {};
  }
}

interface Invocation {
  readonly agent: string;
  readonly action: string;
  readonly data: unknown;
  readonly request?: ActionRequest;
}

/** Makes the plugin of kind `agent` around some actions; the default export of a plugin module. */
export function defineAgent(definition: AgentDefinition): PluginDefinition {
  const { name, version, actions, create } = definition;
  if (!actions && !create) throw new TypeError('defineAgent needs `actions` or `create`');
  return definePlugin({
    kind: 'agent',
    version,
    create: async (host) => {
      const instance = create ? await create.call(definition, host) : { actions: actions ?? {} };
      const { activate, shutdown } = instance;
      return {
        methods: { 'agent/invoke': (params: Invocation, call: Call) => invoke(name, instance.actions, params, call) },
        ...(activate && { activate: () => activate.call(instance) }),
        ...(shutdown && { shutdown: () => shutdown.call(instance) }),
      };
    },
  });
}

async function invoke(name: string, actions: Actions, { agent, action, data, request = {} }: Invocation, call: Call) {
  const perform = Object.hasOwn(actions, action) ? actions[action] : undefined;
  if (!perform) return reply(status.unknownAction, `Unknown action ${action} for agent ${name}`);
  try {
    // A call is made for one invocation, so what belongs to that is put on it.
    return reply(status.ok, 'OK', await perform((data ?? {}) as never, Object.assign(call, { agent, action, request })));
  } catch (error) {
    if (error instanceof ActionError) return reply(error.status, error.message, error.data);
    throw error;
  }
}

function reply(statuscode: number, statusmsg: string, data: unknown = {}) {
  return { statuscode, statusmsg, data };
}
