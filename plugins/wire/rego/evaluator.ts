// Evaluates policies in a thread of its own, which is ended with a policy that takes too long or too much.

import { availableParallelism, loadavg } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Asked, FromWorker, RequestFilter, ToWorker } from './worker-messages.ts';

export type { RequestFilter };

export type EvaluationError = 'no_result' | 'conflict' | 'memory' | 'timeout' | 'failed' | 'busy' | 'closed';

export type Evaluated =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: EvaluationError; readonly reason: string };

export interface CompiledPolicy {
  readonly key: string;
  readonly module: Uint8Array;
}

interface Waiting {
  readonly policy: CompiledPolicy;
  readonly input: string;
  readonly filter: RequestFilter;
  readonly settle: (outcome: Evaluated) => void;
}

/**
 * After this an evaluation is ended, by the clock: it holds up all others. Where this process does not have a processor for all
 * of that time, the evaluation has what is missing as well, up to the most.
 */
const [limitMs, mostMs] = [50, 1_000];
/** Before a thread counts as one that does not start. */
const startMs = 10_000;
const maxWaiting = 4_096;
/** A thread that has nothing to do so long is ended. */
const idleMs = 60_000;
/** Answered together; a policy that runs too long costs the others of its batch a second try. */
const maxBatch = 64;
/** A policy that ran too long so often in a row is not tried again for a while, since each try holds up everybody. */
const [maxTimeouts, restMs] = [3, 30_000];
const maxRemembered = 256;
const resourceLimits = { maxOldGenerationSizeMb: 96, maxYoungGenerationSizeMb: 16, codeRangeSizeMb: 32, stackSizeMb: 4 };
const nobody: RequestFilter = { fact: [], cf_class: [], identity: [], compound: [] };

/** One thread, started with the first evaluation. */
export class PolicyEvaluator {
  readonly #waiting: Waiting[] = [];
  readonly #modules = new Map<string, Promise<WebAssembly.Module>>();
  readonly #timeouts = new Map<string, { count: number; until: number }>();
  /** Those that are tried for the second time. */
  readonly #again = new WeakSet<Waiting>();
  #thread: Thread | undefined;
  #turning = false;
  #idle: NodeJS.Timeout | undefined;
  #closed = false;
  /** Threads that were ended, for numbers. */
  ended = 0;

  /** @param input the document as JSON */
  evaluate(policy: CompiledPolicy, input: string, filter: RequestFilter = nobody): Promise<Evaluated> {
    if (this.#closed) return Promise.resolve(refused('closed', 'the evaluation of policies has ended'));
    if (this.#waiting.length >= maxWaiting)
      return Promise.resolve(refused('busy', `${maxWaiting} evaluations of policies are waiting already`));
    const rest = this.#timeouts.get(policy.key);
    if (rest && rest.count >= maxTimeouts && Date.now() < rest.until)
      return Promise.resolve(
        refused('timeout', `the policy took longer than ${limitMs} ms ${rest.count} times; it is tried again in a while`),
      );
    return new Promise((settle) => {
      this.#waiting.push({ policy, input, filter, settle });
      if (!this.#turning) void this.#turn();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idle);
    for (const { settle } of this.#waiting.splice(0)) settle(refused('closed', 'the evaluation of policies has ended'));
    await this.#thread?.end();
    this.#thread = undefined;
  }

  async #turn(): Promise<void> {
    this.#turning = true;
    try {
      // A message to the thread costs more than an evaluation: what comes in one turn of the event loop goes together.
      await new Promise((resolve) => setImmediate(resolve));
      while (this.#waiting.length > 0 && !this.#closed) await this.#evaluateBatch(this.#waiting.splice(0, maxBatch));
    } finally {
      this.#turning = false;
      this.#restLater();
    }
  }

  /** A node that is asked seldom has no thread for most of the time. */
  #restLater(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      if (this.#turning || this.#waiting.length > 0) return;
      void this.#thread?.end();
      this.#thread = undefined;
    }, idleMs).unref();
  }

  async #evaluateBatch(batch: readonly Waiting[]): Promise<void> {
    let thread: Thread;
    const ready: { one: Waiting; module: WebAssembly.Module }[] = [];
    try {
      thread = await this.#running();
      for (const one of batch) {
        const module = await this.#compiled(one.policy).catch((error: Error) => error);
        if (module instanceof Error)
          one.settle(refused('failed', `what was made of the policy can not be run: ${module.message}`));
        else ready.push({ one, module });
      }
    } catch (error) {
      const outcome = refused('failed', `the thread that evaluates policies does not start: ${(error as Error).message}`);
      for (const { settle } of batch) settle(outcome);
      return;
    }
    await this.#ask(thread, ready);
  }

  async #ask(thread: Thread, ready: readonly { one: Waiting; module: WebAssembly.Module }[]): Promise<void> {
    const end = await thread.ask(
      ready.map(({ one: { policy, input, filter }, module }) => ({ key: policy.key, module, input, filter })),
    );
    if (end.at === 'answered') {
      for (const [index, { one }] of ready.entries()) {
        const outcome = end.outcomes[index] ?? refused('failed', 'the thread that evaluates policies did not answer');
        if (outcome.ok) this.#timeouts.delete(one.policy.key);
        one.settle(outcome);
      }
      return;
    }
    this.ended += 1;
    if (this.#thread === thread) this.#thread = undefined;
    const culprit = ready[end.position]?.one;
    // The others did nothing wrong. Evaluating again is harmless.
    const others = ready.flatMap(({ one }) => (one === culprit ? [] : [one]));
    if (culprit && this.#mayBeHonest(culprit, end.outcome)) {
      this.#again.add(culprit);
      others.unshift(culprit);
    } else if (culprit) {
      if (end.outcome.error === 'timeout') this.#remember(culprit.policy.key);
      culprit.settle(end.outcome);
    }
    if (culprit && !this.#closed) this.#waiting.unshift(...others);
    else for (const { settle } of others) settle(end.outcome);
  }

  /** By the clock it took too long. Where threads wait for a processor that need not be its own doing, so it has a second try. */
  #mayBeHonest(culprit: Waiting, { error }: { readonly error: EvaluationError }): boolean {
    if (error !== 'timeout' || this.#closed || this.#again.has(culprit) || this.#timeouts.has(culprit.policy.key)) return false;
    return (loadavg()[0] ?? 0) > availableParallelism();
  }

  #remember(key: string): void {
    const count = (this.#timeouts.get(key)?.count ?? 0) + 1;
    this.#timeouts.delete(key);
    this.#timeouts.set(key, { count, until: Date.now() + restMs });
    forgetOldest(this.#timeouts);
  }

  #compiled({ key, module }: CompiledPolicy): Promise<WebAssembly.Module> {
    const known = this.#modules.get(key);
    if (known) {
      // The most recent is the last to go.
      this.#modules.delete(key);
      this.#modules.set(key, known);
      return known;
    }
    const compiling = WebAssembly.compile(Uint8Array.from(module));
    compiling.catch(() => this.#modules.delete(key));
    this.#modules.set(key, compiling);
    forgetOldest(this.#modules);
    return compiling;
  }

  async #running(): Promise<Thread> {
    if (this.#thread?.alive) return this.#thread;
    const thread = new Thread();
    this.#thread = thread;
    await thread.ready;
    return thread;
  }
}

type BatchEnd =
  | { readonly at: 'answered'; readonly outcomes: readonly Evaluated[] }
  | { readonly at: 'ended'; readonly position: number; readonly outcome: Extract<Evaluated, { ok: false }> };

class Thread {
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  /** Which one of the batch runs, -1 for none, and since when. Written there, read here. */
  readonly #position = new Int32Array(new SharedArrayBuffer(4));
  readonly #since = new Float64Array(new SharedArrayBuffer(8));
  #settle: ((end: BatchEnd) => void) | undefined;
  #watch: NodeJS.Timeout | undefined;
  alive = true;

  constructor() {
    this.#position[0] = -1;
    // Tests import the sources, and a thread runs what was compiled of them.
    const file = import.meta.url.endsWith('.ts') ? '../../../.build/plugins/wire/rego/worker.js' : './worker.js';
    this.#worker = new Worker(new URL(file, import.meta.url), {
      resourceLimits,
      workerData: { position: this.#position, since: this.#since },
      env: {},
      execArgv: [],
      stdin: false,
      stdout: true,
      stderr: true,
    });
    this.#worker.stdout.resume();
    this.#worker.stderr.resume();
    this.ready = this.#started();
    // Nobody may wait for it any more.
    this.ready.catch(() => undefined);
    this.#worker.on('message', (message: FromWorker) => {
      if (message.what === 'answers') this.#finish({ at: 'answered', outcomes: message.outcomes });
    });
    this.#worker.on('error', (error: Error & { code?: string }) => {
      this.alive = false;
      const outcome =
        error.code === 'ERR_WORKER_OUT_OF_MEMORY'
          ? refused('memory', 'the policy took more memory than a policy may')
          : refused('failed', `the policy ended its thread: ${error.message}`);
      this.#finish({ at: 'ended', position: Atomics.load(this.#position, 0), outcome });
    });
    this.#worker.on('exit', () => {
      this.alive = false;
      const outcome = refused('failed', 'the thread that evaluates policies ended');
      this.#finish({ at: 'ended', position: Atomics.load(this.#position, 0), outcome });
    });
    // A host that has nothing else to do may end.
    this.#worker.unref();
  }

  async #started(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#worker.once('message', () => resolve());
        this.#worker.once('error', reject);
        timer = setTimeout(() => reject(new Error(`it was not ready after ${startMs} ms`)), startMs);
      });
    } catch (error) {
      await this.end();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  ask(asked: readonly (Omit<Asked, 'module'> & { readonly module: WebAssembly.Module })[]): Promise<BatchEnd> {
    if (!this.alive)
      return Promise.resolve({
        at: 'ended',
        position: 0,
        outcome: refused('failed', 'the thread that evaluates policies ended'),
      });
    return new Promise((resolve) => {
      this.#settle = resolve;
      // A module is shared and not copied.
      const message: ToWorker = { asked };
      this.#worker.ref();
      this.#worker.postMessage(message);
      this.#look(limitMs, { position: 0, ran: 0, cpu: cpuMs() });
    });
  }

  /** Looks again when the one that runs now would have had its time. @param seen how far one was when it was first seen */
  #look(afterMs: number, seen: { readonly position: number; readonly ran: number; readonly cpu: number }): void {
    this.#watch = setTimeout(() => {
      const position = Atomics.load(this.#position, 0);
      const ran = position < 0 ? 0 : performance.timeOrigin + performance.now() - (this.#since[0] ?? 0);
      const first = position === seen.position ? seen : { position, ran, cpu: cpuMs() };
      const worked = first.ran + cpuMs() - first.cpu;
      const left = limitMs - (ran < mostMs ? Math.min(ran, worked) : ran);
      if (left > 0) return this.#look(Math.ceil(left), first);
      this.alive = false;
      const outcome = refused('timeout', `the policy took longer than ${limitMs} ms`);
      void this.#worker.terminate();
      return this.#finish({ at: 'ended', position, outcome });
    }, afterMs);
  }

  #finish(end: BatchEnd): void {
    clearTimeout(this.#watch);
    if (this.alive) this.#worker.unref();
    this.#settle?.(end);
    this.#settle = undefined;
  }

  async end(): Promise<void> {
    this.alive = false;
    await this.#worker.terminate();
  }
}

function refused(error: EvaluationError, reason: string): Extract<Evaluated, { ok: false }> {
  return { ok: false, error, reason };
}

/** What this process has worked, in all its threads. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

function forgetOldest(map: Map<string, unknown>): void {
  const [oldest] = map.keys();
  if (map.size > maxRemembered && oldest !== undefined) map.delete(oldest);
}
