// Recordings: what passed between a host and one plugin, a line of JSON each, to be played back as a test.

import { readFileSync } from 'node:fs';
import type { TraceDetails, TraceEntry } from '../host/traces.ts';

export const recordingVersion = 1;

/** The first line. */
export interface RecordingHead {
  readonly recording: typeof recordingVersion;
  /** `kind/name` */
  readonly plugin: string;
  readonly bundle: string;
  readonly bundleVersion: string;
  readonly recorded: string;
  /** Configuration that the plugin was given, secrets masked. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Places in answers that differ from time to time, such as `result.data.time`; `*` stands for any name or index. */
  readonly ignore: readonly string[];
}

/** Every further line. */
export interface RecordedPassage extends TraceDetails {
  readonly what: TraceEntry['what'];
  readonly method: string;
}

export interface Recording {
  readonly head: RecordingHead;
  readonly passages: readonly RecordedPassage[];
}

export class RecordingError extends Error {
  override readonly name = 'RecordingError';
  readonly code = 'RECORDING';
}

export function passageOf({ what, method, details }: TraceEntry): RecordedPassage | undefined {
  return details && { what, method, ...details };
}

/** @throws RecordingError with file and line */
export function readRecording(file: string): Recording {
  let lines: string[];
  try {
    lines = readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line.trim() !== '');
  } catch (error) {
    throw new RecordingError(`${file}: cannot be read: ${(error as Error).message}`);
  }
  const [head, ...passages] = lines.map((line, index) => parseLine(file, line, index + 1));
  if (!isHead(head))
    throw new RecordingError(
      `${file}:1: this is no recording of version ${recordingVersion}; make one with \`muster plugin record\``,
    );
  return {
    head: { ...head, ignore: head.ignore ?? [], config: head.config ?? {} },
    passages: passages.map((passage, index) => {
      if (isPassage(passage)) return { ...passage, progress: passage.progress ?? [] };
      throw new RecordingError(
        `${file}:${index + 2}: a passage needs \`what\` (call, delivery or capability), \`method\` and \`params\``,
      );
    }),
  };
}

function parseLine(file: string, line: string, number: number): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch (error) {
    throw new RecordingError(`${file}:${number}: this line is not JSON: ${(error as Error).message}`);
  }
}

function isHead(value: unknown): value is RecordingHead {
  const head = value as Partial<RecordingHead> | null;
  return head?.recording === recordingVersion && typeof head.plugin === 'string' && /^[^/]+\/[^/]+$/.test(head.plugin);
}

function isPassage(value: unknown): value is RecordedPassage {
  const passage = value as Partial<RecordedPassage> | null;
  return (
    ['call', 'delivery', 'capability'].includes(String(passage?.what)) &&
    typeof passage?.method === 'string' &&
    typeof passage.params === 'object' &&
    passage.params !== null
  );
}
