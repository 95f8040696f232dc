// Messages on the bus, for plugin authors: declare a subscription with its handler, publish.

import type { Deliveries } from './deliveries.ts';
import type { Host, HostCallOptions } from './plugin.ts';

export interface BusMessage {
  readonly subscription: string;
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly reply?: string;
  readonly headers?: Readonly<Record<string, readonly string[]>>;
}

export interface Publication {
  readonly connection: string;
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly reply?: string;
  readonly headers?: Readonly<Record<string, readonly string[]>>;
}

export interface SubscriptionSpec {
  readonly connection: string;
  /** Names the subscription; equal ids of a new version keep it without a gap. */
  readonly id: string;
  readonly subject: string;
  readonly queue?: string;
  /** Messages that may wait in the host; the newest is dropped past it. Default 65536. */
  readonly limit?: number;
}

export interface ConnectionSpec {
  readonly connection: string;
  readonly servers: readonly string[];
  /** Whether the servers are tried in this order. Without, each host tries them in an order of its own. */
  readonly keepOrder?: boolean;
  /** Whether to wait until it is connected, and to fail if it can't be. Without, it is made in the background. Default true. */
  readonly wait?: boolean;
  readonly name?: string;
  readonly inboxPrefix?: string;
  readonly tls?: { readonly cert?: string; readonly key?: string; readonly ca?: string; readonly rejectUnauthorized?: boolean };
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** File with the ed25519 seed (64 hex digits) that signs the broker's nonce. */
  readonly seed?: string;
  readonly pingIntervalMs?: number;
  readonly connectTimeoutMs?: number;
  readonly reconnectBufferBytes?: number;
}

export interface ConnectionInfo {
  readonly connected: boolean;
  readonly server?: string;
  readonly servers?: readonly string[];
  readonly name?: string;
  readonly maxPayload?: number;
  readonly inMessages?: number;
  readonly outMessages?: number;
  readonly inBytes?: number;
  readonly outBytes?: number;
  readonly reconnects?: number;
  /** Times that it was tried to make it, until it was there. */
  readonly attempts?: number;
  /** What all that took; 0 until it is there. */
  readonly connectMs?: number;
  /** Times that it was lost. */
  readonly losses?: number;
  /** Errors that the broker told of. */
  readonly errors?: number;
}

export interface Bus {
  /** Opens a named connection, or changes it. Resolves when it is connected. */
  open(spec: ConnectionSpec, options?: HostCallOptions): Promise<{ readonly server?: string }>;
  close(connection: string): Promise<void>;
  info(connection: string): Promise<ConnectionInfo>;
  publish(publication: Publication, options?: HostCallOptions): Promise<void>;
  /** The handler may return a promise; at most 64 messages of a subscription are unanswered at once. */
  subscribe(
    spec: SubscriptionSpec,
    handler: (message: BusMessage) => unknown,
    onDropped?: (count: number) => void,
  ): Promise<void>;
  unsubscribe(id: string): Promise<void>;
}

export function createBus(host: Pick<Host, 'call'>, deliveries: Deliveries): Bus {
  return {
    open: async (spec, options) => (await host.call('bus/open', { ...spec }, options)) as { server?: string },
    close: async (connection) => void (await host.call('bus/close', { connection })),
    info: async (connection) => (await host.call('bus/info', { connection })) as ConnectionInfo,
    publish: (publication, options) =>
      host.call('bus/publish', publication as unknown as Record<string, unknown>, options) as Promise<void>,
    subscribe: async (spec, handler, onDropped) => {
      deliveries.on('bus/message', spec.id, (params) => handler(params as unknown as BusMessage));
      deliveries.on('bus/dropped', spec.id, (params) => onDropped?.(params.count as number));
      await host.call('bus/subscribe', { ...spec });
    },
    unsubscribe: async (id) => {
      await host.call('bus/unsubscribe', { id });
      deliveries.off(id);
    },
  };
}
