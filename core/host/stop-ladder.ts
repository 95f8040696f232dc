// The end of a process and its whole group: stdin ends, TERM, KILL.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

export interface Leaving {
  /** Time between the steps. */
  readonly graceMs: number;
  /** First step; closes stdin unless the caller has something politer to say. */
  readonly ask?: () => void;
}

/**
 * Ends a child that leads its own process group; safe to call twice. Waits on `exit`, since a grandchild that holds the
 * pipes must not hold us, then ends what is left of the group.
 */
export async function climbStopLadder(child: ChildProcess, { graceMs, ask }: Leaving): Promise<void> {
  const steps = [
    ask ?? (() => child.stdin?.end()),
    () => signalGroup(child.pid, 'SIGTERM'),
    () => signalGroup(child.pid, 'SIGKILL'),
  ];
  for (const step of steps) {
    if (hasEnded(child)) break;
    const exit = once(child, 'exit', { signal: AbortSignal.timeout(graceMs) });
    step();
    await exit.catch(() => undefined);
  }
  signalGroup(child.pid, 'SIGKILL');
  for (const end of [child.stdin, child.stdout, child.stderr]) end?.destroy();
}

export function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
}

/** Signals a whole process group; a group that is gone is fine. */
export function signalGroup(group: number | undefined, signal: NodeJS.Signals): void {
  if (group === undefined) return;
  try {
    process.kill(-group, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH' && (error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
  }
}
