// So many at once and the others in their order. The thread pool of a process has few threads: signatures that filled it would
// keep every write to a disk waiting behind them.

import { availableParallelism } from 'node:os';

const usualThreads = 4;
/** For files, and for what else needs a thread. */
const leftFree = 2;

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

/** How much of the thread pool work on keys may take: each processor is kept busy by one. */
export function signaturesAtOnce(environment: NodeJS.ProcessEnv): number {
  const threads = Number(environment.UV_THREADPOOL_SIZE) || usualThreads;
  return Math.max(1, Math.min(availableParallelism(), threads - leftFree));
}
