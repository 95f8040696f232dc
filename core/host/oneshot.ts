// Runs a plugin as one process a call: bare params in, bare result out.

import { mkdirSync } from 'node:fs';
import { decodeBytes, encodeBytes, pathsOf } from '../protocol/bytes.ts';
import { fromErrorBody, PluginError } from '../protocol/errors.ts';
import type { Params } from '../protocol/messages.ts';
import type { CallOptions } from '../protocol/peer.ts';
import { childEnvironment } from './environment.ts';
import { explainFailedStart, hintOf } from './explain.ts';
import type { End, Instance } from './instance.ts';
import type { RunResult } from './launcher-process.ts';
import type { PersistentOptions } from './persistent.ts';
import { atSource } from './spec.ts';
import { logLine } from './stderr.ts';

/** Time for a call when the caller gives none. */
const defaultMs = 60_000;

export function startOneshot(options: PersistentOptions): Instance {
  let end: (value: End) => void = () => undefined;
  const ended = new Promise<End>((resolve) => {
    end = resolve;
  });
  mkdirSync(options.workFolder, { recursive: true, mode: 0o700 });
  return {
    runner: 'oneshot',
    pid: undefined,
    version: undefined,
    activates: false,
    alive: true,
    call: (method, params, callOptions) => runOnce(method, params, callOptions, options),
    notify: () => undefined,
    ended,
    stop: async () => end({ expected: true, reason: 'stopped' }),
  };
}

async function runOnce(method: string, params: Params, call: CallOptions, options: PersistentOptions): Promise<unknown> {
  const { spec, runtime, contract, log } = options;
  const deadlineMs = call.deadlineMs ?? defaultMs;
  const environment = childEnvironment(spec, options.workFolder, process.env);
  const bytes = contract?.bytes ?? {};
  const result = await runtime.launcher
    .run(
      {
        command: spec.command,
        cwd: spec.folder,
        env: {
          ...environment,
          MUSTER_METHOD: method,
          MUSTER_CONFIG: JSON.stringify(options.config),
          MUSTER_DEADLINE_MS: String(deadlineMs),
          ...(options.stateFolder !== null && { MUSTER_STATE: options.stateFolder }),
          ...(call.trace !== undefined && { MUSTER_TRACE: call.trace }),
        },
        stdin: `${JSON.stringify(encodeBytes(params, pathsOf(bytes, method, 'params')))}\n`,
        maxOutputBytes: spec.limits.maxLineBytes,
        excess: 'end',
        graceMs: spec.limits.graceMs,
      },
      { deadlineMs, signal: call.signal },
    )
    .catch(async (error: unknown) => {
      if (!(error instanceof PluginError) || error.data.errno === undefined) throw error;
      const problem = `${spec.kind}/${spec.name} could not be started: ${error.message}`;
      const why = await explainFailedStart({ command: spec.command, path: environment.PATH, problem });
      throw new PluginError('UNAVAILABLE', atSource(spec, why), { cause: error });
    });
  for (const line of result.stderr.split('\n')) if (line !== '') logLine(atSource(spec, line), log);
  return decodeBytes(readResult(result, options), pathsOf(bytes, method, 'result'));
}

function readResult(result: RunResult, { spec }: PersistentOptions): unknown {
  const name = `${spec.kind}/${spec.name}`;
  if (result.tooLarge)
    throw new PluginError(
      'TOO_LARGE',
      `${name} printed more than ${spec.limits.maxLineBytes} bytes; hand larger data over in a file`,
    );
  if (result.exitCode !== 0) throw failure(result, name, hintOf(spec.command[0] ?? ''));
  if (!result.isUtf8)
    throw new PluginError('CONTRACT', `${name} printed bytes on stdout that are not UTF-8; a oneshot prints JSON in UTF-8`);
  try {
    // Some editors and shells put a byte order mark in front.
    return JSON.parse(result.stdout.replace(/^\ufeff/, '')) as unknown;
  } catch {
    throw new PluginError(
      'CONTRACT',
      `${name} printed no JSON on stdout but: ${result.stdout.slice(0, 80)}; a oneshot prints one JSON value and nothing else${hintOf(spec.command[0] ?? '')}`,
    );
  }
}

function failure({ exitCode, signal, stderr }: RunResult, name: string, hint: string): PluginError {
  const lastLine = stderr.trimEnd().split('\n').at(-1) ?? '';
  const body = lastLine.startsWith('{') ? parse(lastLine) : undefined;
  if (typeof body?.message === 'string') {
    return fromErrorBody({
      code: typeof body.code === 'number' ? body.code : -32603,
      message: body.message,
      ...(typeof body.data === 'object' && body.data !== null && { data: body.data as Params }),
    });
  }
  const silent = signal
    ? `${name} was ended by ${signal} and said nothing on stderr`
    : `${name} exited with ${exitCode} and said nothing on stderr`;
  return new PluginError('INTERNAL', (lastLine || silent) + hint);
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
