// Calls as they pass, for `plugin trace`. Costs nothing when nobody watches.

import { PluginError } from '../protocol/errors.ts';
import type { CallOptions } from '../protocol/peer.ts';

export interface TraceEntry {
  /** Unix milliseconds at the start of the call. */
  readonly time: number;
  readonly plugin: string;
  readonly method: string;
  readonly trace: string | null;
  readonly depth: number;
  readonly ms: number;
  /** `ok`, or the code of the error. */
  readonly outcome: string;
  readonly message: string | null;
}

export class Traces {
  readonly #watchers = new Set<(entry: TraceEntry) => void>();

  get watched(): boolean {
    return this.#watchers.size > 0;
  }

  watch(watcher: (entry: TraceEntry) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  follow<T>(plugin: string, method: string, options: CallOptions, answer: Promise<T>): Promise<T> {
    const time = Date.now();
    const started = performance.now();
    const tell = (outcome: string, message: string | null) => {
      const entry = {
        time,
        plugin,
        method,
        trace: options.trace ?? null,
        depth: options.depth ?? 0,
        ms: Math.round((performance.now() - started) * 1000) / 1000,
        outcome,
        message,
      };
      for (const watcher of this.#watchers) watcher(entry);
    };
    answer.then(
      () => tell('ok', null),
      (error: unknown) =>
        tell(error instanceof PluginError ? error.code : 'INTERNAL', error instanceof Error ? error.message : String(error)),
    );
    return answer;
  }
}
