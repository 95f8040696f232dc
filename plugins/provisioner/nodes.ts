// The nodes that wait, and whose turn it is: bounded, without duplicates, and fair. A node that never got past its token waits
// behind those that did and those that are new, so that nobody can crowd others out.

import type { Held } from './store.ts';

export type Lane = 'new' | 'proven' | 'doubtful';

/** How far a node got in its present attempt. */
export type Step = 'seen' | 'token' | 'csr' | 'signed' | 'configured' | 'restarted' | 'up';
export type Verdict = 'deferred' | 'failed' | 'refused';

export interface Node {
  readonly identity: string;
  lane: Lane;
  /** `held`: enrolled or told to stop, and left alone for a while. `absent`: it should have come up and did not. */
  state: 'queued' | 'later' | 'knocking' | 'ready' | 'working' | 'coming' | 'held' | 'absent';
  step: Step;
  verdict: Verdict | undefined;
  reason: string;
  /** Attempts, and those in a row that came to nothing. */
  attempt: number;
  failures: number;
  /** By the monotonic clock: when it may be tried, when it is forgotten, when its state began. */
  due: number;
  since: number;
  /** When it was last heard of, and the id of its last event. */
  seen: number;
  eventId: string;
  /** It announced itself while it was in work; it came up before that was awaited. */
  again: boolean;
  isUp: boolean;
  /** It was configured, and has not shown itself in provisioning mode since then. */
  mayComeUp: boolean;
  /** How often it was enrolled: more than once if it keeps coming back. */
  rounds: number;
  held: Held | undefined;
  /** What is being written of it; one after the other. */
  writing: Promise<void>;
  /** Serial of a certificate that it may never have got. */
  orphan: string | undefined;
  /** Aborts what is done with it. */
  abort: AbortController | undefined;
}

const maxNodes = 50_000;
/** One in so many is taken from those that never proved anything, lest they starve. */
const doubtfulShare = 16;

export class Nodes {
  readonly #all = new Map<string, Node>();
  readonly #queues: Record<Lane, Node[]> = { new: [], proven: [], doubtful: [] };
  readonly #later = new Set<Node>();
  #turn = 0;
  dropped = 0;

  get size(): number {
    return this.#all.size;
  }

  get(identity: string): Node | undefined {
    return this.#all.get(identity);
  }

  all(): IterableIterator<Node> {
    return this.#all.values();
  }

  /** Nodes that could be tried now. */
  get queued(): number {
    return this.#queues.new.length + this.#queues.proven.length + this.#queues.doubtful.length;
  }

  get hasFresh(): boolean {
    return this.#queues.new.length + this.#queues.proven.length > 0;
  }

  get waiting(): number {
    return this.queued + this.#later.size;
  }

  /** A node that was not known; undefined if there is no room for it. */
  add(identity: string, now: number, lane: Lane = 'new'): Node | undefined {
    if (this.#all.size >= maxNodes && !this.#makeRoom()) {
      this.dropped += 1;
      return undefined;
    }
    const node: Node = {
      identity,
      lane,
      state: 'queued',
      step: 'seen',
      verdict: undefined,
      reason: '',
      attempt: 0,
      failures: 0,
      due: now,
      since: now,
      seen: now,
      eventId: '',
      again: false,
      isUp: false,
      mayComeUp: false,
      rounds: 0,
      held: undefined,
      writing: Promise.resolve(),
      orphan: undefined,
      abort: undefined,
    };
    this.#all.set(identity, node);
    this.queue(node, now);
    return node;
  }

  queue(node: Node, now: number): void {
    this.#later.delete(node);
    this.#enter(node, 'queued', now);
    this.#queues[node.lane].push(node);
  }

  /** It is tried again from this time on. */
  putOff(node: Node, due: number, now: number): void {
    this.#unqueue(node);
    node.due = due;
    this.#enter(node, 'later', now);
    this.#later.add(node);
  }

  /** Sets a state outside of the queues. */
  enter(node: Node, state: Exclude<Node['state'], 'queued' | 'later'>, now: number): void {
    this.#unqueue(node);
    this.#enter(node, state, now);
  }

  forget(node: Node): void {
    this.#unqueue(node);
    this.#all.delete(node.identity);
  }

  clear(): void {
    this.#all.clear();
    this.#later.clear();
    for (const queue of Object.values(this.#queues)) queue.length = 0;
  }

  /** Queues those whose time has come, and forgets those that nobody heard of for so long. */
  ripen(now: number, silentMs: number): void {
    for (const node of this.#later) {
      if (node.due > now) continue;
      if (now - node.seen > silentMs) this.forget(node);
      else this.queue(node, now);
    }
  }

  /** The next one to be tried. */
  take(): Node | undefined {
    this.#turn += 1;
    const { proven, new: fresh, doubtful } = this.#queues;
    const order =
      this.#turn % doubtfulShare === 0
        ? [doubtful, proven, fresh]
        : this.#turn % 2 === 0
          ? [proven, fresh, doubtful]
          : [fresh, proven, doubtful];
    for (const queue of order) {
      const node = queue.shift();
      if (node) return node;
    }
    return undefined;
  }

  #enter(node: Node, state: Node['state'], now: number): void {
    node.state = state;
    node.since = now;
  }

  #unqueue(node: Node): void {
    this.#later.delete(node);
    if (node.state !== 'queued') return;
    const queue = this.#queues[node.lane];
    const at = queue.indexOf(node);
    if (at !== -1) queue.splice(at, 1);
  }

  /** At the cost of one that never proved anything. */
  #makeRoom(): boolean {
    const victim = [...this.#later].find(({ lane }) => lane === 'doubtful') ?? this.#queues.doubtful.at(-1);
    if (victim) this.forget(victim);
    return victim !== undefined;
  }
}

/** Exponential, with jitter: half of it at least. */
export function backoffMs(failures: number, minMs: number, maxMs: number, random: () => number = Math.random): number {
  const ceiling = Math.min(maxMs, minMs * 2 ** Math.min(Math.max(0, failures - 1), 30));
  return ceiling * (0.5 + random() / 2);
}
