// So many at once and the others in their order. The thread pool of a process takes work in the order in which it comes: what
// is written to a disk waits behind the few signatures that are there already, and not behind all that are wanted.

const usualThreads = 4;

export class Lane {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(most: number) {
    this.#most = most;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#most) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }
}

/**
 * One for each thread of the pool, whatever there are processors: a thread that is done finds the next signature there, and
 * does not wait until the main thread, which has its own work, hands it one.
 */
export function signaturesAtOnce(environment: NodeJS.ProcessEnv): number {
  return Number(environment.UV_THREADPOOL_SIZE) || usualThreads;
}
