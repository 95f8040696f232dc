// Which handler gets what the host delivers, by method and the id under which the plugin declared it.

import { PluginError } from '../../protocol/errors.ts';
import type { Params } from '../../protocol/messages.ts';

export type DeliveryHandler = (params: Params) => unknown;

/** The member of the params that names the declaration, by method. */
const idMembers: Readonly<Record<string, string>> = {
  'bus/message': 'subscription',
  'bus/dropped': 'subscription',
  'kv/changes': 'watch',
  'events/event': 'subscription',
  'timers/fire': 'id',
  'process/output': 'id',
  'process/exit': 'id',
  'plugins/changed': 'kind',
  'metrics/collect': 'id',
  'traces/span': 'id',
  'hosts/stop-request': 'id',
};

export class Deliveries {
  readonly #handlers = new Map<string, DeliveryHandler>();

  on(method: string, id: string, handler: DeliveryHandler): void {
    this.#handlers.set(`${method} ${id}`, handler);
  }

  off(id: string): void {
    for (const method of Object.keys(idMembers)) this.#handlers.delete(`${method} ${id}`);
  }

  /** Whether this method is a delivery of the host and not one of the plugin's kind. */
  covers(method: string): boolean {
    return method in idMembers;
  }

  deliver(method: string, params: Params): unknown {
    const id = String(params[idMembers[method] ?? 'id']);
    const handler = this.#handlers.get(`${method} ${id}`);
    if (!handler) throw new PluginError('NOT_FOUND', `nothing is declared under ${id} for ${method}`);
    const outcome = handler(params);
    return outcome instanceof Promise ? outcome.then(nothing) : {};
  }
}

function nothing(): Params {
  return {};
}
