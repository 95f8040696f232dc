// One running version of a plugin, whatever its runner.

import type { Contract } from '../protocol/contract.ts';
import { PluginError } from '../protocol/errors.ts';
import type { BytePaths, InitializeParams, InitializeResult, Params } from '../protocol/messages.ts';
import { lifecycle, protocolVersion } from '../protocol/messages.ts';
import type { CallOptions, Peer } from '../protocol/peer.ts';
import type { PluginDefinition } from '../sdk/typescript/plugin.ts';
import type { HostLog } from './log.ts';
import type { Runtime } from './runtime.ts';
import type { PluginSpec } from './spec.ts';

export type Runner = 'persistent' | 'oneshot' | 'inline';

/** How a version is run: by its runner, or by somebody who attached it. */
export type RunBy = Runner | 'attached';

/** Why an instance ended, in one sentence; `expected` if the host had asked for it. */
export interface End {
  readonly expected: boolean;
  readonly reason: string;
}

export interface Instance {
  readonly runner: RunBy;
  readonly pid: number | undefined;
  readonly version: string | undefined;
  readonly activates: boolean;
  /** False once it can take no more calls; `ended` follows. */
  readonly alive: boolean;
  call(method: string, params: Params, options: CallOptions): Promise<unknown>;
  notify(method: string, params: Params): void;
  /** Ends it politely, then by force. Safe to call twice. */
  stop(graceMs: number): Promise<void>;
  readonly ended: Promise<End>;
}

/** What a runner needs to start an instance. */
export interface StartOptions {
  readonly runtime: Runtime;
  readonly spec: PluginSpec;
  readonly contract: Contract | undefined;
  /** For an inline plugin that is in no module. */
  readonly definition?: PluginDefinition | undefined;
  readonly config: Params;
  readonly stateFolder: string | null;
  readonly log: HostLog;
  /** Answers capability calls of the instance. */
  readonly onRequest: ConstructorParameters<typeof Peer>[0]['onRequest'];
  /** Values in memory are frozen and checked to be JSON (for tests). */
  readonly strict: boolean;
  /** Where bytes are in what goes over this plugin's pipe. */
  readonly bytes: BytePaths;
}

/** An instance that is spoken to by a peer, whatever carries the messages. */
export class PeerInstance implements Instance {
  readonly runner: RunBy;
  readonly pid: number | undefined;
  readonly version: string | undefined;
  readonly activates: boolean;
  readonly ended: Promise<End>;
  readonly stop: Instance['stop'];
  readonly #peer: Peer;

  constructor(
    { peer, answer }: { readonly peer: Peer; readonly answer: InitializeResult },
    { runner, pid, ended, stop }: Pick<Instance, 'runner' | 'ended' | 'stop'> & { readonly pid?: number | undefined },
  ) {
    this.#peer = peer;
    this.version = answer.version;
    this.activates = answer.activates ?? false;
    this.runner = runner;
    this.pid = pid;
    this.ended = ended;
    this.stop = stop;
  }

  get alive(): boolean {
    return this.#peer.closed === undefined;
  }

  call(method: string, params: Params, options: CallOptions): Promise<unknown> {
    return this.#peer.call(method, params, options);
  }

  notify(method: string, params: Params): void {
    void this.#peer.notify(method, params);
  }
}

export const initializeMs = 10_000;

/** The handshake. @throws PluginError if the plugin doesn't answer in time, or not as agreed */
export async function initialize(peer: Peer, options: StartOptions, deadlineMs = initializeMs): Promise<InitializeResult> {
  const { spec, runtime } = options;
  const params: InitializeParams = {
    protocol: { min: protocolVersion, max: protocolVersion },
    host: { name: 'muster', version: runtime.version },
    bundle: spec.bundle,
    plugin: spec.name,
    kind: spec.kind,
    config: options.config,
    capabilities: spec.needs as Params,
    stateFolder: options.stateFolder,
    limits: { maxLineBytes: spec.limits.maxLineBytes },
    bytes: options.bytes,
  };
  const answer = (await peer.call(lifecycle.initialize, params as unknown as Params, {
    deadlineMs,
  })) as Partial<InitializeResult> | null;
  if (answer?.protocol !== protocolVersion) {
    throw new PluginError(
      'CONTRACT',
      `initialize was answered with protocol ${JSON.stringify(answer?.protocol)}; this host speaks ${protocolVersion}`,
    );
  }
  return answer as InitializeResult;
}
