// `muster run`: a host with services, from its configuration file to its clean stop, again when a plugin asks for a restart.

import { resolve } from 'node:path';
import { chooseSettings } from '../host/chosen-settings.ts';
import { Host, type HostOptions } from '../host/host.ts';
import { collectWhenIdle } from '../host/idle-memory.ts';
import { createHostLog, type HostLog, type LogLevel } from '../host/log.ts';
import { Runtime } from '../host/runtime.ts';
import { loadSettings, ownBundleFolders, type Settings, stateFolderOf } from '../host/settings.ts';
import { fail } from './report.ts';

export interface RunRequest {
  readonly root: string;
  readonly services: readonly string[];
  readonly config?: string;
  readonly state?: string;
  readonly logLevel?: string;
}

type StopRequest = Parameters<NonNullable<HostOptions['onStopRequest']>>[0];

export async function runServices(request: RunRequest): Promise<void> {
  const runtime = new Runtime();
  const stopCollecting = collectWhenIdle();
  try {
    let restart = true;
    while (restart) restart = await runOnce(runtime, request);
  } catch (error) {
    fail(error);
  } finally {
    stopCollecting();
    runtime.close();
  }
}

/** True if it is to be started again. */
async function runOnce(runtime: Runtime, request: RunRequest): Promise<boolean> {
  const { root, services, config: file } = request;
  const { chosen, remarks } = await chooseSettings({ root, services, file });
  const settings = loadSettings({ root, file, project: false, optional: false, chosen });
  const log = openLog(settings, request.logLevel);
  for (const { level, message } of remarks) log[level]({}, message);
  for (const warning of settings.config.warnings) log.warn({}, warning);
  let requestStop: (stop: StopRequest) => void = () => undefined;
  const stopRequested = new Promise<StopRequest>((done) => {
    requestStop = done;
  });
  const host = new Host({
    runtime,
    bundles: ownBundleFolders(root),
    watched: settings.watched,
    stateFolder: resolve(stateFolderOf(settings.config, request.state, services.join('-'))),
    config: settings.config,
    services,
    log,
    control: true,
    onStopRequest: requestStop,
  });
  const onSignal = (signal: string) => requestStop({ reason: signal, exitCode: 0, restart: false });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  try {
    await host.start();
    const { reason, exitCode, restart } = await stopRequested;
    log.info({ restart }, `stopping: ${reason}`);
    process.exitCode = exitCode;
    return restart;
  } finally {
    await host.stop('the host stops');
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
  }
}

function openLog({ config }: Settings, level: string | undefined): HostLog {
  const destination = config.values.get('logfile') as string;
  const wanted = (level ?? config.values.get('loglevel')) as LogLevel;
  const known: Readonly<Record<string, number>> = { stderr: 2, stdout: 1 };
  if (destination === 'discard') return createHostLog({ level: 'silent' });
  return createHostLog({ level: wanted, destination: known[destination] ?? resolve(destination) });
}
