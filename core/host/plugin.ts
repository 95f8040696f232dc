// One plugin by its name, over all the processes that come and go behind it: start, calls, switch, drain, restart.

import type { Socket } from 'node:net';
import { PluginError } from '../protocol/errors.ts';
import { lifecycle, type Params } from '../protocol/messages.ts';
import type { CallOptions, IncomingCall } from '../protocol/peer.ts';
import { startAttached } from './attached.ts';
import { Declarations, type Opener, type Staged } from './declarations.ts';
import type { End, Instance, RunBy, StartOptions } from './instance.ts';
import { Live, pingMs, startByRunner } from './live.ts';
import type { HostLog } from './log.ts';
import type { PersistentOptions } from './persistent.ts';
import { CallQueue } from './queue.ts';
import { planRestart } from './restart.ts';
import type { PluginSpec } from './spec.ts';
import { Statistics } from './statistics.ts';
import type { Traces } from './traces.ts';

const pingEveryMs = 10_000;
const maxFailedPings = 3;
/** How long declarations outlive a crash. */
const keepMs = 10_000;
/** Longest wait for calls of an old version to end. */
const drainMs = 60_000;
/** Calls wait for a restart that is this near; otherwise they are told when to try again. */
const worthWaitingMs = 5_000;

export type State =
  | { readonly at: 'idle' }
  | { readonly at: 'starting'; readonly since: number }
  | { readonly at: 'ready'; readonly since: number }
  | { readonly at: 'backoff'; readonly until: number; readonly reason: string }
  | { readonly at: 'failed'; readonly reason: string }
  | { readonly at: 'quarantined'; readonly reason: string }
  | { readonly at: 'stopped'; readonly reason: string };

export interface PluginOptions extends Omit<PersistentOptions, 'onRequest' | 'spec' | 'log' | 'contract' | 'config' | 'bytes'> {
  readonly log: HostLog;
  /** What a version is started with; a reload may change all of it. */
  readonly about: (spec: PluginSpec) => Pick<StartOptions, 'contract' | 'config' | 'bytes'>;
  /** Answers a capability call of this plugin. */
  readonly onCapability: (method: string, params: Params, caller: Caller, call: IncomingCall) => unknown;
  readonly traces: Traces;
  /** The plugin's state changed; for those who watch its kind. */
  readonly onChange: () => void;
}

/** Who asks for a capability, and what the host can do for it. */
export interface Caller {
  readonly plugin: Plugin;
  readonly name: string;
  readonly spec: PluginSpec;
  /** Declares something that outlives the process: at once, or with the switch if the version is just starting. */
  declare(type: string, id: string, contents: unknown, open: Opener): Promise<void>;
}

/** A new version that is ready beside the present one. */
export interface Prepared {
  /** Switches to it. The old version has ended when `drained` resolves. */
  commit(): Promise<{ readonly drained: Promise<void> }>;
  abandon(): Promise<void>;
}

export class Plugin {
  readonly declarations = new Declarations();
  readonly statistics = new Statistics();
  readonly log: HostLog;
  #spec: PluginSpec;
  #state: State = { at: 'idle' };
  #live: Live | undefined;
  #starting: Promise<Live> | undefined;
  #switching: Promise<void> | undefined;
  #restart: NodeJS.Timeout | undefined;
  #forget: NodeJS.Timeout | undefined;
  #crashes: number[] = [];
  #stopped = false;
  readonly #queue: CallQueue<Live>;
  readonly #options: PluginOptions;

  constructor(spec: PluginSpec, options: PluginOptions) {
    this.#spec = spec;
    this.#options = options;
    this.log = options.log;
    this.#queue = new CallQueue(this.name);
  }

  get spec(): PluginSpec {
    return this.#spec;
  }

  get name(): string {
    return `${this.#spec.kind}/${this.#spec.name}`;
  }

  get state(): State {
    return this.#state;
  }

  get pid(): number | undefined {
    return this.#live?.instance.pid;
  }

  get version(): string | undefined {
    return this.#live?.instance.version;
  }

  /** How the present version is run; undefined if none runs. */
  get runBy(): RunBy | undefined {
    return this.#live?.instance.runner;
  }

  get inFlight(): number {
    return this.#live?.inFlight ?? 0;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Calls a method; starts the plugin if need be.
   * @throws PluginError what the plugin answers, `BUSY` past its queue, `UNAVAILABLE` if it can't be started
   */
  call(method: string, params: Params, options: CallOptions): Promise<unknown> {
    const live = this.#live;
    if (live?.instance.alive && live.inFlight < live.spec.limits.concurrency && this.#queue.length === 0)
      return this.#run(live, method, params, options);
    return this.#callQueued(method, params, options);
  }

  /** Hands over something declared. Waits for a version to take it; rejects only if that version fails at it. */
  deliver(method: string, params: Params, deadlineMs: number): Promise<unknown> {
    const live = this.#live;
    if (live?.instance.alive && !this.#switching) return this.#delivered(live, method, params, deadlineMs);
    return this.#deliverLater(method, params, deadlineMs);
  }

  notify(method: string, params: Params): void {
    this.#live?.instance.notify(method, params);
  }

  /** Starts it now, if it doesn't run. @throws PluginError `UNAVAILABLE` with the explanation */
  async ensure(): Promise<void> {
    await this.#ensure();
  }

  /**
   * Starts a new version beside the present one and probes it. The answer switches to it and drains the old one; until
   * then nothing has changed, and `abandon` leaves everything as it was.
   */
  async prepare(spec: PluginSpec): Promise<Prepared> {
    return this.#prepared(await this.#start(spec), spec);
  }

  /** Lets what is at the other end of a socket take over, until it ends. @throws PluginError if it does not become ready */
  async attach(socket: Socket): Promise<void> {
    const spec = this.#spec;
    const live = await this.#start(spec, (options) => startAttached(options, socket));
    await this.#prepared(live, spec).commit();
  }

  #prepared(live: Live, spec: PluginSpec): Prepared {
    return {
      abandon: () => live.end(),
      commit: async () => {
        const old = this.#live;
        await this.#switchTo(live, spec);
        this.#crashes = [];
        return { drained: old ? this.#drain(old) : Promise.resolve() };
      },
    };
  }

  /** Lifts a quarantine. */
  async resume(): Promise<void> {
    this.#crashes = [];
    if (this.#state.at !== 'ready') this.#setState({ at: 'idle' });
    await this.#ensure();
  }

  /**
   * Ends it: calls that wait are refused, calls that run may finish.
   * @param patienceMs how long they may take; by default as long as those of a version that was replaced
   */
  async stop(reason: string, patienceMs = drainMs): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#restart);
    clearTimeout(this.#forget);
    await this.#starting?.catch(() => undefined);
    const live = this.#live;
    this.#live = undefined;
    this.#setState({ at: 'stopped', reason });
    this.#queue.refuse(new PluginError('GONE', `${this.name} stopped: ${reason}`));
    if (live) await this.#drain(live, patienceMs);
    await this.declarations.close();
  }

  async #callQueued(method: string, params: Params, options: CallOptions): Promise<unknown> {
    const { deadlineMs } = options;
    const deadlineAt = deadlineMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + deadlineMs;
    const live = await this.#ensure(deadlineMs);
    const start = (version: Live) => {
      if (deadlineMs === undefined) return this.#run(version, method, params, options);
      return this.#run(version, method, params, { ...options, deadlineMs: Math.max(1, deadlineAt - Date.now()) });
    };
    if (live.inFlight < live.spec.limits.concurrency && this.#queue.length === 0) return start(live);
    return this.#wait(live, start, options);
  }

  #run(live: Live, method: string, params: Params, options: CallOptions): Promise<unknown> {
    live.inFlight += 1;
    const started = performance.now();
    return live.instance.call(method, params, options).then(
      (result) => {
        this.#done(live, started, false);
        return result;
      },
      (error: unknown) => {
        this.#done(live, started, true);
        throw error;
      },
    );
  }

  #done(live: Live, started: number, failed: boolean): void {
    live.inFlight -= 1;
    const now = performance.now();
    live.lastUsed = now;
    this.statistics.record(now - started, failed);
    if (this.#queue.length > 0) this.#admit();
    live.settled();
  }

  #wait(live: Live, start: (version: Live) => Promise<unknown>, options: CallOptions): Promise<unknown> {
    const { queue } = live.spec.limits;
    if (this.#queue.length < queue) return this.#queue.wait(start, options);
    const retryAfterMs = Math.ceil(Math.max(10, this.statistics.latency()?.p50 ?? 10));
    throw new PluginError(
      'BUSY',
      `${this.name} has ${live.inFlight} calls under way and ${queue} waiting; try again in ${retryAfterMs} ms`,
      { data: { retryAfterMs } },
    );
  }

  #admit(): void {
    const live = this.#live;
    if (live) this.#queue.admit(live, () => live.inFlight < live.spec.limits.concurrency);
  }

  async #deliverLater(method: string, params: Params, deadlineMs: number): Promise<unknown> {
    while (this.#switching) await this.#switching;
    return this.#delivered(await this.#ensure(), method, params, deadlineMs);
  }

  #delivered(live: Live, method: string, params: Params, deadlineMs: number): Promise<unknown> {
    live.deliveries += 1;
    live.lastUsed = performance.now();
    const done = () => {
      live.deliveries -= 1;
      live.settled();
    };
    const { traces } = this.#options;
    const passage = { plugin: this.name, what: 'delivery', method, params, options: { deadlineMs } } as const;
    const traced = traces.watched ? traces.begin(passage) : undefined;
    const answer = live.instance.call(method, params, { deadlineMs });
    answer.then(done, done);
    return traced ? traced.end(answer) : answer;
  }

  async #ensure(deadlineMs = Number.POSITIVE_INFINITY): Promise<Live> {
    // It can take no more calls, but its end is not known yet: wait for it, then start again.
    if (this.#live && !this.#live.instance.alive) await this.#live.instance.ended;
    if (this.#live) return this.#live;
    if (this.#stopped) throw new PluginError('GONE', `${this.name} is stopped`);
    this.#starting ??= this.#startCurrent(deadlineMs).finally(() => {
      this.#starting = undefined;
    });
    return this.#starting;
  }

  async #startCurrent(deadlineMs: number): Promise<Live> {
    const state = this.#state;
    if (state.at === 'quarantined') throw this.#quarantined(state.reason);
    if (state.at === 'backoff') {
      const left = state.until - Date.now();
      if (left > Math.min(deadlineMs, worthWaitingMs))
        throw new PluginError('UNAVAILABLE', `${this.name} starts again in ${left} ms: ${state.reason}`, {
          data: { retryAfterMs: left },
        });
      if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
    }
    this.#setState({ at: 'starting', since: Date.now() });
    try {
      const live = await this.#start(this.#spec);
      await this.#switchTo(live, this.#spec);
      return live;
    } catch (error) {
      const reason = (error as Error).message;
      this.log.error({}, reason);
      this.#planRestart(reason, 'failed');
      throw error;
    }
  }

  async #start(spec: PluginSpec, start: (options: PersistentOptions) => Promise<Instance> = startByRunner): Promise<Live> {
    const staged: Staged = new Map();
    let live: Live | undefined;
    const caller: Caller = {
      plugin: this,
      name: this.name,
      spec,
      declare: async (type, id, contents, open) => {
        if (live?.current) await this.declarations.declare(type, id, contents, open);
        else this.declarations.stage(staged, type, id, contents, open);
      },
    };
    const options: PersistentOptions = {
      ...this.#options,
      ...this.#options.about(spec),
      spec,
      onRequest: (method, params, call) => this.#options.onCapability(method, params, caller, call),
    };
    const started = new Live(spec, await start(options), staged);
    live = started;
    await started.becomeReady();
    void started.instance.ended.then((end) => this.#ended(started, end));
    return started;
  }

  async #switchTo(live: Live, spec: PluginSpec): Promise<void> {
    let resume: () => void = () => undefined;
    this.#switching = new Promise((resolve) => {
      resume = resolve;
    });
    try {
      // What the old version has taken it finishes first, so that order is kept across the switch.
      if (this.#live) await this.#live.until(() => (this.#live?.deliveries ?? 0) === 0, spec.limits.graceMs);
      await this.declarations.switchTo(live.staged);
      if (this.#live) this.#live.current = false;
      live.current = true;
      this.#live = live;
      this.#spec = spec;
      clearTimeout(this.#forget);
      if (live.instance.runner === 'persistent')
        live.ticker = setInterval(() => this.#tick(live), Math.min(pingEveryMs, spec.limits.idleMs)).unref();
      this.#setState({ at: 'ready', since: Date.now() });
    } catch (error) {
      await live.end();
      throw error;
    } finally {
      this.#switching = undefined;
      resume();
    }
    this.#admit();
  }

  #tick(live: Live): void {
    const { idleMs } = live.spec.limits;
    const unused = live.isQuiet && this.declarations.size === 0 && !live.spec.eager;
    if (unused && performance.now() - live.lastUsed > idleMs) {
      this.#live = undefined;
      this.#setState({ at: 'idle' });
      void live.end();
      return;
    }
    live.instance.call(lifecycle.ping, {}, { deadlineMs: pingMs }).then(
      () => {
        live.failedPings = 0;
      },
      () => {
        live.failedPings += 1;
        if (live.failedPings < maxFailedPings || this.#live !== live) return;
        this.log.error({}, `${this.name} did not answer ${maxFailedPings} pings in a row and is restarted`);
        void live.instance
          .stop(live.spec.limits.graceMs)
          .then(() => this.#ended(live, { expected: false, reason: 'it did not answer pings' }));
      },
    );
  }

  #ended(live: Live, end: End): void {
    clearInterval(live.ticker);
    if (this.#live !== live) return;
    this.#live = undefined;
    live.current = false;
    if (this.#stopped) return;
    if (live.instance.runner === 'attached') {
      this.log.info({}, `${this.name} is no longer attached: ${end.reason}`);
      this.#setState({ at: 'idle' });
      if (this.#wanted) void this.#ensure().catch(() => undefined);
      return;
    }
    this.log.warn({}, `${this.name} ended: ${end.reason}`);
    this.#planRestart(end.reason, 'crashed');
  }

  /** Whether it has to run although nobody calls it at the moment. */
  get #wanted(): boolean {
    return this.#spec.eager || this.declarations.size > 0 || this.#queue.length > 0;
  }

  #planRestart(reason: string, what: 'crashed' | 'failed'): void {
    const now = Date.now();
    this.#crashes = [...this.#crashes.slice(-20), now];
    const plan = planRestart(this.#crashes, now, Math.random);
    if (plan.do === 'quarantine') {
      this.#setState({ at: 'quarantined', reason: `${plan.crashes} ends within a minute, the last one: ${reason}` });
      this.log.error(
        {},
        `${this.name} is quarantined after ${plan.crashes} ends within a minute; when it is mended, run: muster plugin reload ${this.#spec.bundle}`,
      );
      void this.declarations.close();
      this.#queue.refuse(this.#quarantined(reason));
      return;
    }
    this.#setState({ at: 'backoff', until: now + plan.afterMs, reason });
    const wanted = this.#wanted;
    if (wanted || what === 'crashed') {
      this.statistics.restarts += wanted ? 1 : 0;
      if (wanted) this.#restart = setTimeout(() => void this.#ensure().catch(() => undefined), plan.afterMs);
    }
    if (this.declarations.size > 0) {
      clearTimeout(this.#forget);
      this.#forget = setTimeout(() => void this.declarations.close(), keepMs).unref();
    }
  }

  #quarantined(reason: string): PluginError {
    return new PluginError(
      'UNAVAILABLE',
      `${this.name} is quarantined: ${reason}; when it is mended, run: muster plugin reload ${this.#spec.bundle}`,
    );
  }

  async #drain(live: Live, patienceMs = drainMs): Promise<void> {
    live.current = false;
    await live.until(() => live.isQuiet, patienceMs);
    await live.end();
  }

  #setState(state: State): void {
    const changed = this.#state.at !== state.at;
    this.#state = state;
    if (changed) this.log.debug({ state: state.at }, `${this.name} is ${state.at}`);
    if (changed) this.#options.onChange();
  }
}
