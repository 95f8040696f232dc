// The thread that evaluates policies: modules become instances, requests become answers, one after the other.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import type { LoadedPolicy } from '@open-policy-agent/opa-wasm';
import { createBuiltins, type Evaluation } from './builtins/index.ts';
import type { Evaluated } from './evaluator.ts';
import type { Asked, FromWorker, ToWorker } from './worker-messages.ts';

const require = createRequire(import.meta.url);
const name = '@open-policy-agent/opa-wasm';

/** 64 KiB each: 4 MiB in all for one policy. */
const memory = { initial: 5, maximum: 64 };
const maxInstances = 32;
/** Characters of an answer as JSON. */
const maxAnswer = 65_536;

class Instances {
  readonly #sdk = require(name) as typeof import('@open-policy-agent/opa-wasm');
  readonly #known = new Map<string, LoadedPolicy>();
  readonly #evaluation: Evaluation = { filter: { fact: [], cf_class: [], identity: [], compound: [] }, now: 0 };
  readonly #builtins = createBuiltins(this.#evaluation);

  constructor() {
    // The package's own count before those that are given to it, and some of them do what Go's do not. This thread's copy
    // of the package forgets them.
    const own = require(join(dirname(require.resolve(name)), 'builtins/index.js')) as Record<string, unknown>;
    for (const builtin of Object.keys(own)) delete own[builtin];
    // The first use of time zones and patterns takes longer than a policy may.
    this.#builtins['time.clock']?.([0, 'Europe/Malta']);
    this.#builtins['regex.replace']?.('a', '[a-z]+', '$0');
  }

  /** @param onBegin called when the policy itself begins to run */
  evaluate({ key, module, input, filter }: Asked, onBegin: () => void): Evaluated {
    Object.assign(this.#evaluation, { filter, now: Date.now() });
    try {
      const policy = this.#of(key, module);
      onBegin();
      const results: unknown = policy.evaluate(bufferOf(input));
      const [first, ...others] = Array.isArray(results) ? (results as { result?: unknown }[]) : [];
      if (first === undefined) return { ok: false, error: 'no_result', reason: 'the policy says nothing about this request' };
      if (others.length > 0) return { ok: false, error: 'conflict', reason: 'the policy gives several answers to this request' };
      return { ok: true, value: bounded(first.result) };
    } catch (error) {
      // What it left in its memory is its own business.
      this.#known.delete(key);
      return failure(error);
    }
  }

  #of(key: string, module: WebAssembly.Module): LoadedPolicy {
    const known = this.#known.get(key);
    this.#known.delete(key);
    const policy = known ?? this.#sdk.loadPolicySync(module, { ...memory }, this.#builtins);
    this.#known.set(key, policy);
    const [oldest] = this.#known.keys();
    if (this.#known.size > maxInstances && oldest !== undefined) this.#known.delete(oldest);
    return policy;
  }
}

/** Only true and false mean something; what else a policy says is not to weigh on whoever asked. */
function bounded(value: unknown): unknown {
  if (typeof value === 'boolean' || JSON.stringify(value).length <= maxAnswer) return value;
  return typeof value === 'string' ? '' : Array.isArray(value) ? [] : {};
}

function bufferOf(text: string): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = new TextEncoder().encode(text);
  return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
}

/** Aborts come as strings, what is missing as a plain object, the rest as errors. */
function failure(error: unknown): Evaluated {
  const text = typeof error === 'string' ? error : ((error as { message?: string })?.message ?? String(error));
  if (/conflict/.test(text)) return { ok: false, error: 'conflict', reason: `the policy contradicts itself: ${text}` };
  if (error instanceof RangeError || /out of memory|opa_malloc|memory access out of bounds|unreachable/.test(text))
    return { ok: false, error: 'memory', reason: `the policy took more memory than a policy may (${text})` };
  return { ok: false, error: 'failed', reason: `the policy could not be evaluated: ${text}` };
}

const { position, since } = workerData as { position: Int32Array; since: Float64Array };
const instances = new Instances();

function say(message: FromWorker): void {
  parentPort?.postMessage(message);
}

parentPort?.on('message', ({ asked }: ToWorker) => {
  const outcomes = asked.map((one, index) =>
    instances.evaluate(one, () => {
      since[0] = performance.timeOrigin + performance.now();
      Atomics.store(position, 0, index);
    }),
  );
  Atomics.store(position, 0, -1);
  say({ what: 'answers', outcomes });
});
say({ what: 'ready' });
