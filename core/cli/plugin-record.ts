// `plugin record` and `plugin replay`: a conversation with a plugin as a regression test.

import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { passageOf, type RecordingHead, readRecording, recordingVersion } from '../conformance/recording.ts';
import { type ReplayOutcome, replay } from '../conformance/replay.ts';
import { createPlainLog } from '../host/log.ts';
import type { PluginRun } from '../host/plugin-run.ts';
import { Runtime } from '../host/runtime.ts';
import type { TraceEntry } from '../host/traces.ts';
import { findStateFolder, withHost } from './control-client.ts';

export interface RecordFlags {
  readonly state?: string;
  readonly config?: string;
  readonly output?: string;
  readonly ignore?: readonly string[];
  readonly count?: string;
  readonly force?: boolean;
}

export interface ReplayFlags {
  readonly ignore?: readonly string[];
  readonly json?: boolean;
}

const answerMs = 10_000;

export async function recordPlugin(root: string, name: string, flags: RecordFlags): Promise<void> {
  const limit = flags.count === undefined ? Number.POSITIVE_INFINITY : Number(flags.count);
  if (!(limit >= 1)) throw new Error(`--count takes a number of calls, not '${flags.count}'`);
  const end = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end.abort());
  await withHost(findStateFolder(root, flags), async (peer) => {
    const run = (await peer.call('plugin/describe', { plugin: name }, { deadlineMs: answerMs })) as PluginRun;
    const file = flags.output ?? `${run.plugin.replace('/', '.')}.recording.jsonl`;
    if (existsSync(file) && !flags.force)
      throw new Error(`${file} is already there; name another with -o, or replace it with --force`);
    const out = openSync(file, 'w', 0o600);
    const write = (value: object) => void writeSync(out, `${JSON.stringify(value)}\n`);
    let calls = 0;
    try {
      write(headOf(run, flags.ignore ?? []));
      process.stderr.write(`recording ${run.plugin} into ${file}; press Ctrl-C to end it\n`);
      const onProgress = (entry: unknown) => {
        if (end.signal.aborted) return;
        const passage = passageOf(entry as TraceEntry);
        if (!passage) {
          process.stderr.write('a passage was too large to record and is left out\n');
          return;
        }
        write(passage);
        calls += passage.what === 'capability' ? 0 : 1;
        if (calls >= limit) end.abort();
      };
      await peer
        .call('plugin/trace', { plugin: run.plugin, details: true }, { signal: end.signal, onProgress })
        .catch((error: Error) => {
          if (!end.signal.aborted) throw error;
        });
    } finally {
      closeSync(out);
    }
    process.stderr.write(
      `${file} has ${calls} ${calls === 1 ? 'call' : 'calls'}; play it back with: muster plugin replay ${run.folder} ${file}\n`,
    );
  });
}

function headOf({ plugin, bundle, config }: PluginRun, ignore: readonly string[]): RecordingHead {
  return {
    recording: recordingVersion,
    plugin,
    bundle: bundle.name,
    bundleVersion: bundle.version,
    recorded: new Date().toISOString(),
    config,
    ignore,
  };
}

/** Exits with 1 if an answer differs. */
export async function replayRecording(bundle: string, file: string, { ignore = [], json = false }: ReplayFlags): Promise<void> {
  const recording = readRecording(file);
  const runtime = new Runtime();
  const onOutcome = json ? undefined : (outcome: ReplayOutcome) => process.stdout.write(outcomeText(outcome));
  let outcomes: ReplayOutcome[];
  try {
    outcomes = await replay(runtime, bundle, recording, {
      ignore,
      log: createPlainLog(process.stderr, 'warn'),
      ...(onOutcome && { onOutcome }),
    });
  } finally {
    runtime.close();
  }
  const failed = outcomes.filter(({ passed }) => !passed).length;
  if (json) process.stdout.write(`${JSON.stringify({ plugin: recording.head.plugin, outcomes, failed }, null, 2)}\n`);
  else process.stdout.write(`\n${outcomes.length - failed} passed, ${failed} failed\n`);
  if (failed > 0) process.exitCode = 1;
}

function outcomeText({ number, method, passed, differences, ms }: ReplayOutcome): string {
  const lines = differences.map((difference) => `      ${difference}\n`);
  return `  ${passed ? 'same' : 'DIFFERS'}  ${number} ${method} (${ms} ms)\n${lines.join('')}`;
}
