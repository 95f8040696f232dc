// How a provisioner is doing, for people and programs.

import type { Settings } from './config.ts';
import type { Journal, LastError } from './journal.ts';
import type { Candidate } from './leases.ts';
import type { Node, Verdict } from './nodes.ts';
import type { Work } from './work.ts';

export interface PutOff {
  readonly identity: string;
  readonly verdict: Verdict;
  readonly reason: string;
  readonly attempts: number;
  /** When it is tried again; null if that waits for the node. */
  readonly next: string | null;
}

export interface Status {
  readonly instance: string;
  readonly identity: string;
  readonly leads: boolean;
  /** Name of the one that does; null if nobody is known to. */
  readonly leader: string | null;
  readonly epoch: number;
  readonly paused: boolean;
  readonly store: 'bucket' | 'file' | null;
  readonly hook: string;
  readonly workers: number;
  readonly busy: number;
  readonly knocking: number;
  readonly waiting: number;
  readonly queued: number;
  /** Nodes in work by the step that they reached, and those that wait for something. */
  readonly nodes: Readonly<Record<string, number>>;
  readonly counters: Journal['counters'];
  /** Nodes that were enrolled in the last minute. */
  readonly perMinute: number;
  readonly putOff: readonly PutOff[];
  readonly errors: readonly LastError[];
  /** Names that more machines than one answer to. */
  readonly namesakes: readonly string[];
  readonly dropped: number;
  readonly strangeReplies: number;
  readonly summary: string;
  readonly problem?: string;
}

export interface StatusParts {
  readonly candidate: Candidate;
  readonly leads: boolean;
  readonly leader: string | undefined;
  readonly epoch: number;
  readonly paused: boolean;
  readonly store: 'bucket' | 'file' | undefined;
  readonly problem: string;
  readonly settings: Settings;
  readonly journal: Journal;
  readonly work: Work | undefined;
  readonly strange: number;
}

const maxShown = 100;

export function statusOf(parts: StatusParts): Status {
  const { candidate, leads, leader, epoch, paused, store, problem, settings, journal, work, strange } = parts;
  const nodes = work ? [...work.nodes.all()] : [];
  const counts = new Map<string, number>();
  for (const node of nodes) counts.set(placeOf(node), (counts.get(placeOf(node)) ?? 0) + 1);
  const now = performance.now();
  return {
    instance: candidate.id,
    identity: candidate.identity,
    leads,
    leader: leader ?? null,
    epoch,
    paused,
    store: store ?? null,
    hook: settings.hook,
    workers: settings.workers,
    busy: work?.busy ?? 0,
    knocking: work?.knocking ?? 0,
    waiting: work?.nodes.waiting ?? 0,
    queued: work?.nodes.queued ?? 0,
    nodes: Object.fromEntries(counts),
    counters: { ...journal.counters },
    perMinute: journal.perMinute,
    putOff: nodes
      .filter(({ verdict }) => verdict !== undefined)
      .slice(0, maxShown)
      .map((node) => putOffOf(node, now)),
    errors: [...journal.errors],
    namesakes: [...journal.namesakes.keys()].slice(0, maxShown),
    dropped: work?.nodes.dropped ?? 0,
    strangeReplies: strange,
    summary: leads
      ? `leads with epoch ${epoch}${paused ? ', paused' : ''}; ${nodes.length} nodes are known, ${journal.counters.provisioned} were enrolled`
      : `stands by${leader === undefined ? '' : ` for ${leader}`}`,
    ...(problem !== '' && { problem }),
  };
}

/** Where a node is, in one word. */
function placeOf({ state, step, verdict }: Node): string {
  if (state === 'held') return 'done';
  if (state === 'absent') return 'absent';
  if (state === 'later') return verdict ?? 'seen';
  if (state === 'coming') return 'configured';
  return step === 'restarted' ? 'configured' : step;
}

function putOffOf({ identity, verdict = 'failed', reason, attempt, state, due }: Node, now: number): PutOff {
  const next = state === 'later' ? new Date(Date.now() + Math.max(0, due - now)).toISOString() : null;
  return { identity, verdict, reason, attempts: attempt, next };
}
