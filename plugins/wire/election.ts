// An election among several: whoever holds a key that ends by itself leads, and holds it by writing it again in time. A leader
// trusts its own monotonic clock before anything else: when the time that its last write bought is over, it leads no more,
// however late it hears of that, be it because it was stopped or because nobody answers.

export interface Lease {
  /** Takes the key if nobody has it, or keeps it with its revision. The new revision; null if it is another's. */
  hold(revision: number, signal: AbortSignal): Promise<number | null>;
  /** Lets go of it, so that the next need not wait. */
  release(revision: number): Promise<void>;
}

export interface ElectionOptions {
  readonly lease: Lease;
  /** How long the key lasts after a write. */
  readonly ttlMs: number;
  readonly everyMs: number;
  /** Holds in a row before it leads; Choria's leaders need two. */
  readonly holdsNeeded?: number;
  readonly onWon: () => void;
  readonly onLost: (reason: string) => void;
  readonly onTrouble: (message: string) => void;
  /** Milliseconds of a clock that never jumps. */
  readonly now?: () => number;
}

/** A leader ends this much before its key does, for what is still on its way. */
const marginShare = 0.2;

export class Election {
  readonly #options: ElectionOptions;
  readonly #now: () => number;
  readonly #ending = new AbortController();
  #revision = 0;
  #holds = 0;
  /** Until when what was last written counts. */
  #until = 0;
  #isLeader = false;
  #running: Promise<void> | undefined;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Whether it leads at this very moment. */
  get leads(): boolean {
    return this.#isLeader && this.#now() < this.#until;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#running;
    await this.resign('it stops');
  }

  /** Gives up what was won; others are first for a while. */
  async resign(reason: string): Promise<void> {
    const revision = this.#revision;
    this.#lose(reason);
    if (revision > 0) await this.#options.lease.release(revision).catch(() => undefined);
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      const begun = this.#now();
      await this.#round(begun);
      const rest = this.#options.everyMs - (this.#now() - begun);
      if (rest > 0) await sleep(rest, signal);
    }
  }

  async #round(begun: number): Promise<void> {
    const { lease, ttlMs, holdsNeeded = 1, onWon, onTrouble } = this.#options;
    if (this.#isLeader && begun >= this.#until) this.#lose('its time was over before it could be renewed');
    try {
      const deadline = AbortSignal.any([this.#ending.signal, AbortSignal.timeout(Math.max(500, ttlMs / 4))]);
      const revision = await lease.hold(this.#revision, deadline);
      if (revision === null) {
        this.#lose('another one leads');
        return;
      }
      this.#revision = revision;
      this.#holds += 1;
      this.#until = begun + ttlMs * (1 - marginShare);
      if (this.#isLeader || this.#holds < holdsNeeded || this.#now() >= this.#until) return;
      this.#isLeader = true;
      onWon();
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      onTrouble((error as Error).message);
      if (this.#isLeader && this.#now() >= this.#until) this.#lose('its key could not be renewed in time');
    }
  }

  #lose(reason: string): void {
    this.#revision = 0;
    this.#holds = 0;
    if (!this.#isLeader) return;
    this.#isLeader = false;
    this.#options.onLost(reason);
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    if (signal.aborted) done();
    else signal.addEventListener('abort', done, { once: true });
  });
}
