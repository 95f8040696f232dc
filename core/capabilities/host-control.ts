// The host itself: facts about it, its end, and further hosts in the same process.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, entriesFrom, readConfigFile } from '../config/dialect.ts';
import { resolveConfig } from '../config/values.ts';
import { keySpecsOf, valuesOf } from '../host/config-keys.ts';
import { nodeFlags } from '../host/distribution.ts';
import { Host } from '../host/host.ts';
import type { Caller } from '../host/plugin.ts';
import { knownKeys } from '../host/settings.ts';
import { PluginError } from '../protocol/errors.ts';
import type { Params } from '../protocol/messages.ts';
import type { Capability } from './capability.ts';

const stopMs = 120_000;

interface StartParams {
  readonly id: string;
  readonly config: Params;
  readonly services?: readonly string[];
  readonly configFile?: string;
  readonly stateFolder?: string;
  readonly bundles?: readonly string[];
}

export function createHostControl(host: Host): Capability {
  const { runtime, config, stateFolder } = host.options;
  const children = new Map<string, Host>();
  const requestStop = (reason: string, exitCode: number, restart: boolean) => {
    if (!host.options.onStopRequest) throw new PluginError('UNAVAILABLE', 'this host can only be stopped from outside');
    host.options.onStopRequest({ reason, exitCode, restart });
  };
  return {
    methods: {
      'host/info': () => ({
        version: runtime.version,
        pid: process.pid,
        // Not of the process, in which a host may start anew.
        startedAt: host.startedAt,
        configFile: config.file ?? null,
        stateFolder,
        node: process.version,
        program: [process.execPath, ...nodeFlags, join(runtime.root, 'core/cli/main.js')],
        root: runtime.root,
      }),
      'host/config': ({ file }: { file: string }, caller) => readConfig(host, file, caller.spec.configKeys),
      'host/stop': ({ reason = 'a plugin asked for it', exitCode = 0 }: { reason?: string; exitCode?: number }) =>
        requestStop(reason, exitCode, false),
      'host/restart': ({ reason = 'a plugin asked for it' }: { reason?: string }) => requestStop(reason, 0, true),
      'hosts/start': async (params: StartParams, caller) => {
        await caller.declare('host', params.id, params, async () => {
          const child = createChild(host, params, caller);
          children.set(params.id, child);
          await child.start();
          return async () => {
            children.delete(params.id);
            await child.stop();
          };
        });
      },
      'hosts/stop': async ({ id }: { id: string }, caller) => {
        if (!(await caller.plugin.declarations.undeclare('host', id)))
          throw new PluginError('NOT_FOUND', `${caller.name} has no host ${id}`);
      },
    },
    close: async () => {
      await Promise.all([...children.values()].map((child) => child.stop()));
    },
  };
}

function readConfig(host: Host, file: string, keys: readonly string[]): { problems: readonly string[]; values: Params } {
  try {
    const { values } = resolveConfig(readConfigFile(file), knownKeys(host.bundles.map(({ manifest }) => manifest)));
    return { problems: [], values: valuesOf(values, keys) };
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems, values: {} };
    throw error;
  }
}

function createChild(
  host: Host,
  { id, config, services = [], configFile, stateFolder, bundles }: StartParams,
  caller: Caller,
): Host {
  const { options } = host;
  const read = configFile !== undefined && existsSync(configFile) ? readConfigFile(configFile).entries : [];
  const entries = [...read, ...entriesFrom(config, id)];
  const resolved = resolveConfig({ file: configFile, entries }, keySpecsOf(host.bundles));
  return new Host({
    runtime: options.runtime,
    bundles: bundles ?? options.bundles,
    stateFolder: stateFolder ?? join(options.stateFolder, 'hosts', id),
    config: resolved,
    services,
    log: options.log.child({ host: id }),
    onStopRequest: (request) =>
      void caller.plugin
        .deliver('hosts/stop-request', { id, ...request }, stopMs)
        .catch((error: Error) => caller.plugin.log.warn({ host: id }, error.message)),
    strict: options.strict ?? false,
  });
}
