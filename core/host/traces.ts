// What passes between the host and its plugins, for those who watch. Costs nothing when nobody does.

import { randomBytes } from 'node:crypto';
import { PluginError } from '../protocol/errors.ts';
import type { Params } from '../protocol/messages.ts';
import type { CallOptions } from '../protocol/peer.ts';

export interface TraceEntry {
  /** Unix milliseconds at the start. */
  readonly time: number;
  readonly plugin: string;
  /** `call`: the plugin was asked; `delivery`: it was handed what it had subscribed to; `capability`: it asked the host. */
  readonly what: 'call' | 'delivery' | 'capability';
  readonly method: string;
  readonly trace: string | null;
  readonly depth: number;
  readonly ms: number;
  /** `ok`, or the code of the error. */
  readonly outcome: string;
  readonly message: string | null;
  /** W3C span id of this call, where its trace is followed. */
  readonly span?: string;
  /** The span that it was made for. */
  readonly parent?: string;
  /** What was said, secrets masked; only for those who asked for details. */
  readonly details?: TraceDetails;
}

export interface TraceDetails {
  readonly params: unknown;
  /** The parts of a streamed answer, the first thousand. */
  readonly progress: readonly unknown[];
  /** Undefined if it failed. */
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string; readonly data: unknown };
}

/** What is followed: the passage itself, and the promise that ends it. */
export interface Passage {
  readonly plugin: string;
  readonly what: TraceEntry['what'];
  readonly method: string;
  readonly params: Params;
  readonly options: CallOptions;
}

/** `<trace id>-<span id>`, W3C trace context without version and flags: what a call is given whose spans are followed. */
const followed = /^([0-9a-f]{32})-([0-9a-f]{16})$/;

type Watcher = (entry: TraceEntry) => void;

const maxParts = 1_000;

export class Traces {
  readonly #watchers = new Map<Watcher, { readonly details: boolean }>();
  readonly #mask: (value: unknown) => unknown;

  constructor(mask: (value: unknown) => unknown) {
    this.#mask = mask;
  }

  get watched(): boolean {
    return this.#watchers.size > 0;
  }

  /** Without `details` only calls are told of, and nothing of what was said. The returned function ends it. */
  watch(watcher: Watcher, { details = false } = {}): () => void {
    this.#watchers.set(watcher, { details });
    return () => this.#watchers.delete(watcher);
  }

  /** Begins what is told when the answer is there; options with a progress listener to be used for the call. */
  begin(passage: Passage): { readonly options: CallOptions; end<T>(answer: Promise<T>): Promise<T> } {
    const time = Date.now();
    const span = spanOf(passage);
    const started = performance.now();
    const parts: unknown[] = [];
    const { onProgress } = passage.options;
    const options: CallOptions = {
      ...passage.options,
      // What the plugin does for this call is told as done for its span.
      ...(span && { trace: `${span.trace}-${span.span}` }),
      onProgress: (value) => {
        if (parts.length < maxParts) parts.push(value);
        onProgress?.(value);
      },
    };
    const tell = (outcome: string, message: string | null, said: Pick<TraceDetails, 'result' | 'error'>) => {
      const { plugin, what, method, params } = passage;
      const ms = Math.round((performance.now() - started) * 1000) / 1000;
      const [trace, depth] = [options.trace ?? null, options.depth ?? 0];
      const entry = { time, plugin, what, method, trace, depth, ms, outcome, message, ...span };
      let details: TraceDetails | undefined;
      for (const [watcher, wants] of this.#watchers) {
        if (wants.details) {
          details ??= this.#mask({ params, progress: parts, ...said }) as TraceDetails;
          watcher({ ...entry, details });
        } else if (what === 'call') watcher(entry);
      }
    };
    return {
      options,
      end: (answer) => {
        answer.then(
          (result) => tell('ok', null, { result }),
          (error: unknown) => {
            const code = error instanceof PluginError ? error.code : 'INTERNAL';
            const message = error instanceof Error ? error.message : String(error);
            tell(code, message, { error: { code, message, data: error instanceof PluginError ? error.data : {} } });
          },
        );
        return answer;
      },
    };
  }
}

/** The new span of a call whose trace is followed. */
function spanOf({
  what,
  options,
}: Passage): { readonly trace: string; readonly span: string; readonly parent: string } | undefined {
  const [, trace, parent] = what === 'call' ? (followed.exec(options.trace ?? '') ?? []) : [];
  return trace && parent ? { trace, span: randomBytes(8).toString('hex'), parent } : undefined;
}
