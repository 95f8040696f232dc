// Capabilities other than the bus, for plugin authors. Each is a thin typed face of the host's methods.

import type { Params } from '../../protocol/messages.ts';
import type { Deliveries } from './deliveries.ts';
import type { Host, HostCallOptions } from './plugin.ts';

export interface ListedPlugin {
  readonly kind: string;
  readonly name: string;
  readonly bundle: string;
  readonly version?: string;
  readonly description?: string;
  readonly state: string;
  /** What the manifest hands out under `resources:`, parsed. */
  readonly resources: Params;
}

export interface Plugins {
  /** Calls a method of another plugin. @throws PluginError what that plugin answers, or why it could not be called */
  call(kind: string, name: string, method: string, params: Params, options?: HostCallOptions): Promise<unknown>;
  list(kind: string): Promise<readonly ListedPlugin[]>;
  /** Calls the handler whenever plugins of the kind come, go or change. */
  watch(kind: string, handler: () => unknown): Promise<void>;
}

export interface AnnouncedPlugin {
  readonly kind: string;
  readonly name: string;
  readonly description?: string;
  readonly version?: string;
  readonly resources?: Params;
}

export interface Announce {
  /** Replaces the set of plugins that this one answers for; calls to them carry their name in `call.plugin`. */
  set(plugins: readonly AnnouncedPlugin[]): Promise<void>;
}

export interface Timers {
  /** Every `everyMs`, or once after `afterMs`; `splayMs` spreads the first. Not fired again before the handler is done. */
  set(
    spec: { readonly id: string; readonly everyMs?: number; readonly afterMs?: number; readonly splayMs?: number },
    handler: () => unknown,
  ): Promise<void>;
  clear(id: string): Promise<void>;
}

export interface ProcessSpec {
  readonly id: string;
  /** Program and arguments; never a shell. The program must be listed under `needs: {process: […]}`. */
  readonly command: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** `lines` hands them to the plugin, `terminal` shows them to the person at it. */
  readonly output?: 'lines' | 'none' | 'terminal';
  readonly graceMs?: number;
}

export interface ProcessHandlers {
  readonly onOutput?: (line: { readonly stream: 'stdout' | 'stderr'; readonly line: string }) => unknown;
  readonly onExit?: (end: { readonly exitCode: number | null; readonly signal: string | null }) => unknown;
}

/** How a program ended that was run to its end; of each stream the last MiB. */
export interface Ended {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Processes {
  /** Runs a program to its end. Its environment is exactly `env`; the options' deadline and signal end it and its group. */
  run(
    spec: {
      readonly command: readonly string[];
      readonly cwd?: string;
      readonly env?: Readonly<Record<string, string>>;
      readonly stdin?: string;
    },
    options?: HostCallOptions,
  ): Promise<Ended>;
  start(spec: ProcessSpec, handlers?: ProcessHandlers): Promise<{ readonly pid: number }>;
  signal(id: string, signal: string): Promise<void>;
  stop(id: string): Promise<void>;
  list(): Promise<readonly { readonly id: string; readonly pid: number; readonly running: boolean }[]>;
}

export interface Events {
  emit(type: string, data: Params): Promise<void>;
  subscribe(
    spec: { readonly id: string; readonly type: string },
    handler: (type: string, data: Params) => unknown,
  ): Promise<void>;
}

export interface MetricAbout {
  /** Without it a gauge if it is set, a counter if it is added to. */
  readonly type?: 'counter' | 'gauge';
  /** What the number says, for people. */
  readonly help?: string;
}

/** A number as it is listed. */
export interface ListedMetric {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly values: readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
}

export interface Metrics {
  set(name: string, value: number, labels?: Readonly<Record<string, string>>, about?: MetricAbout): Promise<void>;
  add(name: string, value: number, labels?: Readonly<Record<string, string>>, about?: MetricAbout): Promise<void>;
  /** Calls the handler whenever the numbers are asked for; it sets them. */
  onCollect(handler: () => unknown): Promise<void>;
  /** All numbers of the host and its plugins. */
  list(): Promise<readonly ListedMetric[]>;
}

/** A call between plugins that ended. Ids are hex, as in W3C trace context. */
export interface CallSpan {
  readonly trace: string;
  readonly span: string;
  readonly parent: string;
  /** `kind/name` of who was called. */
  readonly plugin: string;
  readonly method: string;
  /** Unix milliseconds at the start. */
  readonly time: number;
  readonly ms: number;
  /** `ok`, or the code of the error. */
  readonly outcome: string;
  readonly message?: string;
}

export interface Traces {
  /** Tells of the calls whose trace is followed. */
  watch(handler: (span: CallSpan) => void): Promise<void>;
}

export interface TerminalInfo {
  readonly tty: boolean;
  readonly columns: number;
  readonly color: boolean;
  /** Whether a person can answer: standard input is a terminal. */
  readonly interactive: boolean;
  /** Whether standard input is a pipe of a shell, or a file. */
  readonly piped: boolean;
}

export interface Terminal {
  info(): Promise<TerminalInfo>;
  write(text: string, stream?: 'stdout' | 'stderr'): Promise<void>;
  /** All of standard input. */
  read(options?: { readonly limitBytes?: number; readonly signal?: AbortSignal }): Promise<string>;
  prompt(question: string, options?: { readonly secret?: boolean }): Promise<string>;
}

export interface HostInfo {
  readonly version: string;
  readonly pid: number;
  /** Unix milliseconds. */
  readonly startedAt: number;
  readonly configFile: string | null;
  readonly stateFolder?: string;
  readonly node?: string;
  /** Program and first arguments that start another host command. */
  readonly program?: readonly string[];
  /** Folder of the compiled distribution. */
  readonly root?: string;
}

/** A configuration file as a host would read it. */
export interface ReadConfig {
  /** What is wrong with it, each with file and line; none if a host could start with it. */
  readonly problems: readonly string[];
  /** Of the keys of this plugin. */
  readonly values: Params;
}

export interface ChildHost {
  readonly id: string;
  readonly config: Params;
  /** Read if it is there; `config` counts over it. */
  readonly configFile?: string;
  readonly services?: readonly string[];
  readonly stateFolder?: string;
  readonly bundles?: readonly string[];
}

/** What a plugin of a host asked for; whoever started that host sees to it. */
export interface StopRequest {
  readonly reason: string;
  readonly exitCode: number;
  readonly restart: boolean;
}

export interface HostControl {
  info(): Promise<HostInfo>;
  /** Reads a configuration file, with the keys that are known here. */
  readConfig(file: string): Promise<ReadConfig>;
  stop(reason: string, exitCode?: number): Promise<void>;
  restart(reason: string): Promise<void>;
  /** Starts a further host in this process, with configuration values and the services it is to run. */
  startHost(spec: ChildHost, onStopRequest?: (request: StopRequest) => unknown): Promise<void>;
  stopHost(id: string): Promise<void>;
}

type Caller = Pick<Host, 'call'>;

export function createPlugins(host: Caller, deliveries: Deliveries): Plugins {
  return {
    call: (kind, name, method, params, options) => host.call('plugins/call', { kind, name, method, params }, options),
    list: async (kind) => ((await host.call('plugins/list', { kind })) as { plugins: ListedPlugin[] }).plugins,
    watch: async (kind, handler) => {
      deliveries.on('plugins/changed', kind, handler);
      await host.call('plugins/watch', { kind });
    },
  };
}

export function createFacts(host: Caller): Host['facts'] {
  return async (path, options) => {
    const call = { kind: 'facts', name: 'node', method: 'facts/get', params: path === undefined ? {} : { path } };
    return ((await host.call('plugins/call', call, options)) as { value: unknown }).value;
  };
}

export function createAnnounce(host: Caller): Announce {
  return { set: async (plugins) => void (await host.call('announce/set', { plugins })) };
}

export function createTimers(host: Caller, deliveries: Deliveries): Timers {
  return {
    set: async (spec, handler) => {
      deliveries.on('timers/fire', spec.id, handler);
      await host.call('timers/set', spec);
    },
    clear: async (id) => {
      await host.call('timers/clear', { id });
      deliveries.off(id);
    },
  };
}

export function createProcesses(host: Caller, deliveries: Deliveries): Processes {
  return {
    run: async (spec, options) => (await host.call('process/run', { ...spec }, options)) as Ended,
    start: async (spec, handlers = {}) => {
      deliveries.on('process/output', spec.id, (params) => handlers.onOutput?.(params as never));
      deliveries.on('process/exit', spec.id, (params) => handlers.onExit?.(params as never));
      return (await host.call('process/start', { ...spec })) as { pid: number };
    },
    signal: async (id, signal) => void (await host.call('process/signal', { id, signal })),
    stop: async (id) => void (await host.call('process/stop', { id })),
    list: async () =>
      ((await host.call('process/list', {})) as { processes: { id: string; pid: number; running: boolean }[] }).processes,
  };
}

export function createEvents(host: Caller, deliveries: Deliveries): Events {
  return {
    emit: async (type, data) => void (await host.call('events/emit', { type, data })),
    subscribe: async (spec, handler) => {
      deliveries.on('events/event', spec.id, (params) => handler(params.type as string, params.data as Params));
      await host.call('events/subscribe', spec);
    },
  };
}

export function createMetrics(host: Caller, deliveries: Deliveries): Metrics {
  return {
    set: async (name, value, labels = {}, about = {}) => void (await host.call('metrics/set', { name, value, labels, ...about })),
    add: async (name, value, labels = {}, about = {}) => void (await host.call('metrics/add', { name, value, labels, ...about })),
    onCollect: async (handler) => {
      deliveries.on('metrics/collect', 'numbers', handler);
      await host.call('metrics/watch', { id: 'numbers' });
    },
    list: async () => ((await host.call('metrics/list', {})) as { metrics: ListedMetric[] }).metrics,
  };
}

export function createTraces(host: Caller, deliveries: Deliveries): Traces {
  return {
    watch: async (handler) => {
      deliveries.on('traces/span', 'calls', (params) => handler(params as unknown as CallSpan));
      await host.call('traces/watch', { id: 'calls' });
    },
  };
}

export function createTerminal(host: Caller): Terminal {
  return {
    info: async () => (await host.call('terminal/info', {})) as TerminalInfo,
    write: async (text, stream = 'stdout') => void (await host.call('terminal/write', { text, stream })),
    read: async ({ limitBytes, signal } = {}) => {
      const params = limitBytes === undefined ? {} : { limitBytes };
      return ((await host.call('terminal/read', params, signal && { signal })) as { text: string }).text;
    },
    prompt: async (question, { secret = false } = {}) =>
      ((await host.call('terminal/prompt', { question, secret })) as { answer: string }).answer,
  };
}

export function createHostControl(host: Caller, deliveries: Deliveries): HostControl {
  return {
    info: async () => (await host.call('host/info', {})) as HostInfo,
    readConfig: async (file) => (await host.call('host/config', { file })) as unknown as ReadConfig,
    stop: async (reason, exitCode = 0) => void (await host.call('host/stop', { reason, exitCode })),
    restart: async (reason) => void (await host.call('host/restart', { reason })),
    startHost: async (spec, onStopRequest = () => undefined) => {
      deliveries.on('hosts/stop-request', spec.id, (params) => onStopRequest(params as unknown as StopRequest));
      await host.call('hosts/start', { ...spec });
    },
    stopHost: async (id) => {
      await host.call('hosts/stop', { id });
      deliveries.off(id);
    },
  };
}
