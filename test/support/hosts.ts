// Hosts for tests: in a folder of their own, with a log that can be read.

import { entriesFrom } from '../../core/config/dialect.ts';
import { resolveConfig } from '../../core/config/values.ts';
import { readManifests } from '../../core/host/bundle.ts';
import { Host, type HostOptions } from '../../core/host/host.ts';
import type { HostLog } from '../../core/host/log.ts';
import { Runtime } from '../../core/host/runtime.ts';
import { knownKeys, ownBundleFolders } from '../../core/host/settings.ts';
import { temporaryFolder } from './folders.ts';

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export function recordingLog(lines: LogLine[]): HostLog {
  const writer = (level: string, bound: object) => (fields: object, message: string) =>
    void lines.push({ level, message, fields: { ...bound, ...fields } });
  const make = (bound: object): HostLog => ({
    debug: writer('debug', bound),
    info: writer('info', bound),
    warn: writer('warn', bound),
    error: writer('error', bound),
    child: (fields) => make({ ...bound, ...fields }),
  });
  return make({});
}

export interface TestHost {
  readonly host: Host;
  readonly runtime: Runtime;
  readonly folder: string;
  readonly log: LogLine[];
  stop(): Promise<void>;
}

export interface TestHostOptions {
  /** With the bundles of this version. */
  readonly distribution?: boolean;
  readonly bundles?: readonly string[];
  readonly watched?: readonly string[];
  readonly config?: Readonly<Record<string, unknown>>;
  /** Where the configuration is said to come from; policies lie beside it. */
  readonly configFile?: string;
  readonly services?: readonly string[];
  readonly control?: boolean;
  /** Whether values in memory are frozen and checked; what is measured goes without. Default true. */
  readonly strict?: boolean;
  readonly inlineAs?: 'persistent';
  readonly runtime?: Runtime;
  /** One that outlives the host; by default a folder of its own. */
  readonly stateFolder?: string;
  readonly onStopRequest?: NonNullable<HostOptions['onStopRequest']>;
}

export async function startHost(options: TestHostOptions = {}): Promise<TestHost> {
  const { path: folder, remove } = temporaryFolder();
  const log: LogLine[] = [];
  const runtime = options.runtime ?? new Runtime();
  const bundles = [...(options.distribution ? ownBundleFolders(runtime.root) : []), ...(options.bundles ?? [])];
  const specs = knownKeys(readManifests([...bundles, ...(options.watched ?? [])], { skipBroken: true }));
  const host = new Host({
    runtime,
    bundles,
    watched: options.watched ?? [],
    stateFolder: options.stateFolder ?? folder,
    config: resolveConfig({ file: options.configFile, entries: entriesFrom(options.config ?? {}, 'test') }, specs),
    services: options.services ?? [],
    log: recordingLog(log),
    control: options.control ?? false,
    strict: options.strict ?? true,
    ...(options.inlineAs && { inlineAs: options.inlineAs }),
    ...(options.onStopRequest && { onStopRequest: options.onStopRequest }),
  });
  const stop = async () => {
    await host.stop('the test ended');
    if (!options.runtime) runtime.close();
    remove();
  };
  try {
    await host.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { host, runtime, folder, log, stop };
}
