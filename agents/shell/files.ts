// The files of a job, which the agent and the supervisor share, and how a process is told from a later one.

import { readFileSync } from 'node:fs';

export interface JobFile {
  readonly command: string;
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Bytes of each stream that are kept. */
  readonly maxOutput: number;
  readonly limitMs: number | null;
}

/** A process that can't be taken for a later one with the same number: its start is told in ticks of the kernel. */
export interface ProcessId {
  readonly pid: number;
  readonly start: string;
}

export interface PidFile {
  readonly supervisor: ProcessId;
  readonly command: ProcessId;
}

export type ExitFile =
  | { readonly at: 'stopped'; readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly timedOut: boolean }
  | { readonly at: 'failed'; readonly reason: string };

export function processOf(pid: number): ProcessId {
  return { pid, start: startOf(pid) };
}

export function isSame({ pid, start }: ProcessId): boolean {
  return start !== '' && startOf(pid) === start;
}

/** Field 22 of /proc/<pid>/stat; empty if there is no such process, or only its remains. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' ? '' : (fields[18] ?? '');
  } catch {
    return '';
  }
}
