// What a plugin leaves behind: processes of its group that still run when it has ended.

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Time for what is on its way out. */
const leavingMs = 1_000;
const glanceMs = 20;

/** Whether a process of this group stays. */
export async function staysBehind(group: number | undefined): Promise<boolean> {
  const until = performance.now() + leavingMs;
  while (group !== undefined && isThere(group) && !hasOnlyEnded(group)) {
    if (performance.now() > until) return true;
    await sleep(glanceMs);
  }
  return false;
}

function isThere(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch {
    return false;
  }
}

/** What has ended is in its group until it was waited for, which the first process of a container may do late or never. */
function hasOnlyEnded(group: number): boolean {
  const states = processes().flatMap((id) => {
    const [, state, ofGroup] = /\) (\S) \d+ (\d+) /.exec(statOf(id)) ?? [];
    return state !== undefined && Number(ofGroup) === group ? [state] : [];
  });
  return states.length > 0 && states.every((state) => state === 'Z' || state === 'X');
}

/** Where there is no /proc, none are known. */
function processes(): string[] {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

function statOf(id: string): string {
  try {
    return readFileSync(`/proc/${id}/stat`, 'utf8');
  } catch {
    // It has gone meanwhile.
    return '';
  }
}
