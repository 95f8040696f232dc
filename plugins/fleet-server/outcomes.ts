// What became of each message, for `muster why` and the counters: silence on the wire is explained here.

/** Requests that are remembered. */
export const maxKept = 2_048;
/** Characters of a reason; a caller chose some of them. */
const maxReason = 400;

export type Outcome = 'replied' | 'invalid' | 'filtered' | 'collective' | 'expired' | 'replayed' | 'running' | 'refused';

export interface Told {
  /** Unix milliseconds. */
  readonly time: number;
  readonly outcome: Outcome;
  readonly reason: string;
}

export interface Counters {
  total: number;
  validated: number;
  unvalidated: number;
  passed: number;
  filtered: number;
  ttlexpired: number;
  replies: number;
  events: number;
}

export const countersMean: Readonly<Record<keyof Counters, string>> = {
  total: 'Messages that came to the node',
  validated: 'Messages that were verified',
  unvalidated: 'Messages that could not be read or verified',
  passed: 'Requests whose filter fits the node',
  filtered: 'Requests whose filter does not fit the node',
  ttlexpired: 'Requests that were too old',
  replies: 'Replies that were sent',
  events: 'Lifecycle events that were sent',
};

/** A copy: a part of a long text keeps all of it in memory. */
function detached(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le');
}

export class Outcomes {
  readonly counters: Counters = {
    total: 0,
    validated: 0,
    unvalidated: 0,
    passed: 0,
    filtered: 0,
    ttlexpired: 0,
    replies: 0,
    events: 0,
  };
  /** Unix seconds of the last request that got past filter, security and age; 0 without one. */
  lastMessage = 0;
  readonly #told = new Map<string, Told[]>();

  tell(requestId: string, outcome: Outcome, reason: string): void {
    const list = this.#told.get(requestId) ?? [];
    list.push({ time: Date.now(), outcome, reason: detached(reason.slice(0, maxReason)) });
    this.#told.delete(requestId);
    this.#told.set(requestId, list.slice(-8));
    if (this.#told.size > maxKept) this.#told.delete(this.#told.keys().next().value ?? '');
  }

  /** What happened to a request, oldest first; empty if it never came, or too long ago. */
  why(requestId: string): readonly Told[] {
    return this.#told.get(requestId) ?? [];
  }
}
