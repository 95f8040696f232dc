// Child processes that belong to the host under an id: a reload of the plugin that asked for one leaves it running.

import type { ChildProcess } from 'node:child_process';
import { tmpdir } from 'node:os';
import { basename } from 'node:path';
import { type Child, startChild } from '../host/child.ts';
import { inherited } from '../host/environment.ts';
import { explainFailedStart } from '../host/explain.ts';
import type { Host } from '../host/host.ts';
import type { Caller } from '../host/plugin.ts';
import { climbStopLadder, hasEnded, signalGroup } from '../host/stop-ladder.ts';
import { PluginError } from '../protocol/errors.ts';
import { LineReader } from '../protocol/lines.ts';
import type { IncomingCall } from '../protocol/peer.ts';
import { type Capability, notGranted } from './capability.ts';

interface RunParams {
  readonly command: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
}

interface StartParams {
  readonly id: string;
  readonly command: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly output?: 'lines' | 'none' | 'terminal';
  readonly graceMs?: number;
}

const maxLineBytes = 64 * 1024;
const defaultGraceMs = 3_000;
const deliverMs = 30_000;
const maxRunMs = 3_600_000;
/** Of the output of a program that is run to its end, the last of each stream. */
const maxOutputBytes = 1024 * 1024;

export function createProcesses(host: Host): Capability {
  const running = new Map<string, ChildProcess>();
  const key = (caller: Caller, id: string) => `${caller.name} ${id}`;
  const find = (caller: Caller, id: string): ChildProcess => {
    const child = running.get(key(caller, id));
    if (!child) throw new PluginError('NOT_FOUND', `${caller.name} has no process ${id}`);
    return child;
  };

  const refuseUngranted = (caller: Caller, program: string): void => {
    const granted = caller.spec.needs.process ?? [];
    if (!granted.includes('*') && !granted.includes(program) && !granted.includes(basename(program)))
      throw notGranted(caller, `may not start ${program}`, 'process', `[${basename(program)}]`);
  };

  const keep = (child: ChildProcess, params: StartParams, caller: Caller): void => {
    if (child.pid !== undefined) host.runtime.guardian.guard(child.pid);
    running.set(key(caller, params.id), child);
    const deliver = (method: string, fields: Record<string, unknown>) =>
      caller.plugin
        .deliver(method, { id: params.id, ...fields }, deliverMs)
        .catch((error: Error) => caller.plugin.log.debug({ process: params.id }, error.message));
    if (params.output === 'lines')
      for (const stream of ['stdout', 'stderr'] as const)
        readLines(child, stream, (line) => void deliver('process/output', { stream, line }));
    child.once('exit', (exitCode, signal) => {
      if (child.pid !== undefined) {
        signalGroup(child.pid, 'SIGKILL');
        host.runtime.guardian.release(child.pid);
      }
      if (running.get(key(caller, params.id)) === child) running.delete(key(caller, params.id));
      void caller.plugin.declarations.undeclare('process', params.id).then(() => deliver('process/exit', { exitCode, signal }));
    });
  };

  return {
    methods: {
      'process/start': async (params: StartParams, caller) => {
        refuseUngranted(caller, params.command[0] ?? '');
        if (params.output === 'terminal' && !(caller.spec.needs.terminal && host.options.terminal))
          throw notGranted(caller, 'may not lend the terminal to a process', 'terminal');
        let started: ChildProcess | undefined;
        await caller.declare('process', params.id, params, async () => {
          const { process: child, failure } = spawn(params);
          if (child.pid === undefined) throw await notStarted(params, failure);
          keep(child, params, caller);
          started = child;
          return () =>
            climbStopLadder(child, { graceMs: params.graceMs ?? defaultGraceMs, ask: () => signalGroup(child.pid, 'SIGTERM') });
        });
        return { pid: (started ?? running.get(key(caller, params.id)))?.pid ?? 0 };
      },
      'process/run': async ({ command, cwd = tmpdir(), env = {}, stdin = '' }: RunParams, caller, call: IncomingCall) => {
        refuseUngranted(caller, command[0] ?? '');
        const deadlineMs = Math.min(call.meta.deadlineMs ?? maxRunMs, maxRunMs);
        const ended = await host.runtime.launcher
          .run(
            { command, cwd, env, stdin, maxOutputBytes, excess: 'forget', graceMs: defaultGraceMs },
            { deadlineMs, signal: call.signal },
          )
          .catch((error: unknown) => explained(error, command, env.PATH ?? process.env.PATH));
        const { exitCode, signal, stdout, stderr } = ended;
        return { exitCode, signal, stdout, stderr };
      },
      'process/signal': ({ id, signal }: { id: string; signal: string }, caller) =>
        signalGroup(find(caller, id).pid, signal as NodeJS.Signals),
      'process/stop': async ({ id }: { id: string }, caller) => {
        find(caller, id);
        await caller.plugin.declarations.undeclare('process', id);
      },
      'process/list': (_params: object, caller) => {
        const prefix = key(caller, '');
        const own = [...running].filter(([name]) => name.startsWith(prefix));
        return {
          processes: own.map(([name, child]) => ({
            id: name.slice(prefix.length),
            pid: child.pid ?? 0,
            running: !hasEnded(child),
          })),
        };
      },
    },
    close: async () => {
      await Promise.all(
        [...running.values()].map((child) =>
          climbStopLadder(child, { graceMs: defaultGraceMs, ask: () => signalGroup(child.pid, 'SIGTERM') }),
        ),
      );
    },
  };
}

function spawn({ command, cwd, env, output }: StartParams): Child {
  const environment = Object.fromEntries(
    inherited.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
  return startChild({
    command,
    cwd,
    env: { ...environment, ...env },
    stdin: 'ignore',
    output: output === 'lines' ? 'pipe' : output === 'terminal' ? 'inherit' : 'ignore',
  });
}

async function notStarted({ command, env }: StartParams, failure: Child['failure']): Promise<PluginError> {
  const problem = `${command[0]} could not be started: ${await failure}`;
  return new PluginError('UNAVAILABLE', await explainFailedStart({ command, path: env?.PATH ?? process.env.PATH, problem }));
}

/** @throws PluginError that says why the program could not be started, or the error as it is */
async function explained(error: unknown, command: readonly string[], path: string | undefined): Promise<never> {
  if (!(error instanceof PluginError) || error.data.errno === undefined) throw error;
  throw new PluginError('UNAVAILABLE', await explainFailedStart({ command, path, problem: error.message }), { cause: error });
}

function readLines(child: ChildProcess, stream: 'stdout' | 'stderr', onLine: (line: string) => void): void {
  const reader = new LineReader({ maxLineBytes, onLine, onOversized: (start) => onLine(`${start}…`) });
  child[stream]?.on('data', (chunk: Buffer) => reader.push(chunk));
}
