// Serves a plugin definition over a carrier: the same for a pipe and for memory.

import { PluginError } from '../../protocol/errors.ts';
import {
  type InitializeParams,
  type InitializeResult,
  lifecycle,
  type Params,
  protocolVersion,
} from '../../protocol/messages.ts';
import { type CallOptions, type Carrier, type IncomingCall, Peer } from '../../protocol/peer.ts';
import { createBus } from './bus.ts';
import {
  createAnnounce,
  createEvents,
  createFacts,
  createHostControl,
  createMetrics,
  createPlugins,
  createProcesses,
  createTerminal,
  createTimers,
  createTraces,
} from './capabilities.ts';
import { Deliveries } from './deliveries.ts';
import { createKv } from './kv.ts';
import { createLog, type Log, type LogSink } from './log.ts';
import { createObjects } from './objects.ts';
import type { Call, Handler, Host, HostCallOptions, PluginDefinition, PluginInstance } from './plugin.ts';

export interface ServeOptions {
  readonly carrier: Carrier;
  readonly logSink: LogSink;
  /** Told what the host accepts, once the handshake says so. */
  readonly onAgreed?: (params: InitializeParams) => void;
  /** The plugin has shut down and its process may end. */
  readonly onShutdown?: () => void;
  readonly onClosed?: (reason: Error) => void;
}

/** Answers the host's requests until the carrier closes. */
export function servePlugin(definition: PluginDefinition, options: ServeOptions): void {
  const log = createLog(options.logSink);
  const deliveries = new Deliveries();
  let host: Host | undefined;
  let instance: PluginInstance | undefined;

  const peer = new Peer({
    carrier: options.carrier,
    onRequest: (method, params, call) => {
      const handler = instance?.methods[method];
      if (handler) return handler(params as never, new ServedCall(call, log));
      return instance && deliveries.covers(method) ? deliveries.deliver(method, params) : lifecycleRequest(method, params);
    },
    onNotification: (method, params) => {
      if (deliveries.covers(method)) deliveries.deliver(method, params);
    },
    onViolation: (what) => log.warn(`the host ${what}`),
    onClosed: (reason) => options.onClosed?.(reason),
  });

  async function lifecycleRequest(method: string, params: Params): Promise<unknown> {
    if (method === lifecycle.initialize) return initialize(params as unknown as InitializeParams);
    if (!host || !instance) throw new PluginError('INVALID', `${method} came before initialize`);
    switch (method) {
      case lifecycle.ping:
        return {};
      case lifecycle.activate:
        await instance.activate?.();
        return {};
      case lifecycle.shutdown:
        await instance.shutdown?.();
        if (options.onShutdown) setImmediate(options.onShutdown);
        return {};
      default:
        throw new PluginError('UNKNOWN_METHOD', `unknown method ${method}`);
    }
  }

  async function initialize(params: InitializeParams): Promise<InitializeResult> {
    const { min, max } = params.protocol;
    if (min > protocolVersion || max < protocolVersion) {
      throw new PluginError(
        'INVALID_PARAMS',
        `the host speaks protocol ${min} to ${max}, this plugin ${protocolVersion} to ${protocolVersion}`,
      );
    }
    options.onAgreed?.(params);
    host = createHost(peer, params, log, deliveries);
    instance = await instantiate(definition, host);
    return { protocol: protocolVersion, version: definition.version, activates: instance.activate !== undefined };
  }
}

async function instantiate(definition: PluginDefinition, host: Host): Promise<PluginInstance> {
  if (definition.create) return definition.create(host);
  const { methods = {}, activate, shutdown } = definition;
  return {
    methods: methods as Record<string, Handler>,
    ...(activate && { activate: () => activate.call(definition, host) }),
    ...(shutdown && { shutdown: () => shutdown.call(definition, host) }),
  };
}

function createHost(peer: Peer, params: InitializeParams, log: Log, deliveries: Deliveries): Host {
  const call = (method: string, callParams: Params, options?: HostCallOptions) =>
    peer.call(method, callParams, options?.for ? onBehalf(options) : options);
  return {
    bundle: params.bundle,
    plugin: params.plugin,
    kind: params.kind,
    config: params.config,
    capabilities: params.capabilities,
    stateFolder: params.stateFolder,
    log,
    call,
    facts: createFacts({ call }),
    bus: createBus({ call }, deliveries),
    kv: createKv({ call }, deliveries),
    objects: createObjects({ call }),
    plugins: createPlugins({ call }, deliveries),
    announce: createAnnounce({ call }),
    timers: createTimers({ call }, deliveries),
    processes: createProcesses({ call }, deliveries),
    events: createEvents({ call }, deliveries),
    metrics: createMetrics({ call }, deliveries),
    traces: createTraces({ call }, deliveries),
    terminal: createTerminal({ call }),
    control: createHostControl({ call }, deliveries),
  };
}

function onBehalf({ for: parent, ...own }: HostCallOptions): CallOptions {
  if (!parent) return own;
  const left = parent.remainingMs();
  const deadlineMs = Math.min(own.deadlineMs ?? Number.POSITIVE_INFINITY, left);
  return {
    ...own,
    trace: own.trace ?? parent.trace,
    depth: parent.depth + 1,
    ...(Number.isFinite(deadlineMs) && { deadlineMs: Math.max(1, Math.floor(deadlineMs)) }),
  };
}

class ServedCall implements Call {
  readonly log: Log;
  readonly #incoming: IncomingCall;

  constructor(incoming: IncomingCall, log: Log) {
    this.#incoming = incoming;
    this.log = log;
  }

  get signal(): AbortSignal {
    return this.#incoming.signal;
  }

  get cancelled(): boolean {
    return this.#incoming.cancelled;
  }

  get trace(): string | undefined {
    return this.#incoming.meta.trace;
  }

  get depth(): number {
    return this.#incoming.meta.depth ?? 0;
  }

  get plugin(): string | undefined {
    return this.#incoming.meta.plugin;
  }

  remainingMs(): number {
    return this.#incoming.deadlineAt - Date.now();
  }

  async progress(value: unknown): Promise<void> {
    await this.#incoming.progress(value);
  }
}
