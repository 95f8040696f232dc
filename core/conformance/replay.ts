// Plays a recording back: a fresh process of the plugin is asked the same things in the same order, what it asks is answered
// from the recording, and its answers are held against those of then.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Host, type HostOptions } from '../host/host.ts';
import type { HostLog } from '../host/log.ts';
import { createMask, masked, restoreBytes } from '../host/mask.ts';
import type { Runtime } from '../host/runtime.ts';
import { type ErrorCode, errorCodes, fromErrorBody, PluginError } from '../protocol/errors.ts';
import type { Params } from '../protocol/messages.ts';
import type { RecordedPassage, Recording } from './recording.ts';
import { sampleOf } from './sample.ts';

export interface ReplayOutcome {
  /** Which passage of the recording, from 1. */
  readonly number: number;
  readonly method: string;
  readonly passed: boolean;
  /** Each difference in a line; empty if it passed. */
  readonly differences: readonly string[];
  readonly ms: number;
}

const callMs = 60_000;
const maxDifferences = 10;

/** @throws BundleError, ManifestError; PluginError if the plugin does not start or is not in the bundle */
export async function replay(
  runtime: Runtime,
  folder: string,
  { head, passages }: Recording,
  { ignore = [], log, onOutcome }: { ignore?: readonly string[]; log: HostLog; onOutcome?: (outcome: ReplayOutcome) => void },
): Promise<ReplayOutcome[]> {
  const [kind = '', name = ''] = head.plugin.split('/');
  const stateFolder = mkdtempSync(join(tmpdir(), 'muster-replay-'));
  const host = new Host({
    runtime,
    bundles: [],
    stateFolder,
    config: { values: new Map(Object.entries(head.config)) as HostOptions['config']['values'], warnings: [], file: undefined },
    log,
    capabilities: answersFrom(passages, runtime),
  });
  const ignored = [...head.ignore, ...ignore].map((path) => path.split('.'));
  const outcomes: ReplayOutcome[] = [];
  try {
    await host.start();
    await host.reloadBundle(resolve(folder));
    const plugin = host.plugin(kind, name);
    if (!plugin) throw new PluginError('NOT_FOUND', `${folder} has no plugin ${head.plugin}, of which this is a recording`);
    await plugin.ensure();
    for (const [index, passage] of passages.entries()) {
      if (passage.what === 'capability') continue;
      const started = performance.now();
      const actual = await ask(host, head.plugin, passage);
      const differences = compare(expectedOf(passage), actual, ignored);
      if (differences.length > 0 && JSON.stringify(passage.params).includes(masked))
        differences.push(
          'a part of its input is masked in the recording: write a harmless value there, or ignore what depends on it',
        );
      const ms = Math.round(performance.now() - started);
      const outcome = { number: index + 1, method: passage.method, passed: differences.length === 0, differences, ms };
      outcomes.push(outcome);
      onOutcome?.(outcome);
    }
  } finally {
    await host.stop('the recording is at its end');
    rmSync(stateFolder, { recursive: true, force: true });
  }
  return outcomes;
}

interface Said {
  readonly progress: readonly unknown[];
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}

async function ask(host: Host, plugin: string, { what, method, params }: RecordedPassage): Promise<Said> {
  const [kind = '', name = ''] = plugin.split('/');
  const given = restoreBytes(params) as Params;
  const mask = createMask([]);
  const progress: unknown[] = [];
  const answer =
    what === 'delivery'
      ? host.plugin(kind, name)?.deliver(method, given, callMs)
      : host.call(kind, name, method, given, { deadlineMs: callMs, onProgress: (value) => progress.push(mask(value)) });
  return Promise.resolve(answer).then(
    (result) => ({ progress, result: mask(result) }),
    (error: Error) => ({
      progress,
      error: { code: error instanceof PluginError ? error.code : 'INTERNAL', message: error.message },
    }),
  );
}

function expectedOf({ progress, result, error }: RecordedPassage): Said {
  return error ? { progress, error: { code: error.code, message: error.message } } : { progress, result };
}

/** Answers of then, in their order for each question; for what was not asked then, the least that the contract allows. */
function answersFrom(passages: readonly RecordedPassage[], runtime: Runtime): NonNullable<HostOptions['capabilities']> {
  const left = passages.filter(({ what }) => what === 'capability');
  return {
    answer: (method, params) => {
      const question = JSON.stringify(createMask([])(params));
      const same = left.findIndex((passage) => passage.method === method && JSON.stringify(passage.params) === question);
      const at = same >= 0 ? same : left.findIndex((passage) => passage.method === method);
      if (at < 0) return sampleOf(runtime.capabilities.document.methods[method]?.result ?? {});
      const [passage] = left.splice(at, 1);
      if (!passage?.error) return restoreBytes(passage?.result);
      const { code, message, data } = passage.error;
      const number = errorCodes[code as ErrorCode] ?? errorCodes.INTERNAL;
      throw fromErrorBody({ code: number, message, data: { ...(data as Params), code } });
    },
    close: async () => undefined,
  };
}

/** What differs, by its place; nothing is compared where the recording has a mask or is told to look away. */
function compare(
  expected: unknown,
  actual: unknown,
  ignored: readonly (readonly string[])[],
  path: readonly string[] = [],
): string[] {
  if (expected === masked || ignored.some((pattern) => covers(pattern, path))) return [];
  if (isObject(expected) && isObject(actual)) {
    const names = [...new Set([...Object.keys(expected), ...Object.keys(actual)])];
    return names.flatMap((name) => compare(expected[name], actual[name], ignored, [...path, name])).slice(0, maxDifferences);
  }
  if (Array.isArray(expected) && Array.isArray(actual) && expected.length === actual.length)
    return expected
      .flatMap((item, index) => compare(item, actual[index], ignored, [...path, String(index)]))
      .slice(0, maxDifferences);
  if (JSON.stringify(expected) === JSON.stringify(actual)) return [];
  return [`${path.join('.') || 'the answer'}: ${brief(expected)} then, ${brief(actual)} now`];
}

function covers(pattern: readonly string[], path: readonly string[]): boolean {
  return pattern.length === path.length && pattern.every((part, index) => part === '*' || part === path[index]);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function brief(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
