// The work of a leader: who is heard of is queued, shows its token at the door, is enrolled by a worker, and is awaited where it
// comes up. The door takes many at once, since whoever is silent there must not keep a worker from those who are not.

import { setMaxListeners } from 'node:events';
import type { Host } from '../../core/sdk/typescript/index.ts';
import type { Settings } from './config.ts';
import type { Enrolment, Introduction, Outcome } from './enrolment.ts';
import { codeOf, ProvisionerError } from './errors.ts';
import type { Hook } from './hook.ts';
import type { Journal } from './journal.ts';
import { backoffMs, type Node, Nodes, type Verdict } from './nodes.ts';
import { planResumption } from './resume.ts';
import type { Held } from './store.ts';

/** After success a node is left alone for so long, unless it announces itself. */
const holdMs = 60_000;
/** Nobody restarts faster: what is heard earlier was said before. */
const soonestMs = 1_500;
/**
 * Nodes that are asked for their token at once. Whoever is silent for so long while others wait is waited for on the porch, where
 * it keeps nobody from the door; when that is full, those that are there for the longest time have to go.
 */
const doorWidth = 512;
const patienceMs = 2_000;
const porchWidth = 8_192;
const tickMs = 200;
const absentMs = 10 * 60_000;
const maxCameUp = 32_768;
const cameUpMs = 180_000;
/** Intervals after which nobody waits for a node that is not heard of. */
const silentIntervals = 3;

export interface WorkParts {
  readonly host: Host;
  readonly settings: Settings;
  readonly enrolment: Enrolment;
  readonly hook: Hook;
  readonly journal: Journal;
  readonly leads: () => boolean;
}

interface Ready {
  readonly node: Node;
  /** Undefined for one that may have been configured already. */
  readonly introduction: Introduction | undefined;
}

export class Work {
  readonly nodes = new Nodes();
  readonly #parts: WorkParts;
  readonly #ready: Ready[] = [];
  readonly #knocking = new Set<Node>();
  readonly #porch = new Set<Node>();
  readonly #cameUp = new Map<string, number>();
  readonly #running = new Set<Promise<void>>();
  #busy = 0;
  #nextStart = 0;
  #timer: NodeJS.Timeout | undefined;
  paused = false;

  constructor(parts: WorkParts) {
    this.#parts = parts;
  }

  get busy(): number {
    return this.#busy;
  }

  get knocking(): number {
    return this.#knocking.size + this.#porch.size;
  }

  get active(): boolean {
    return this.#timer !== undefined;
  }

  /** Takes up what was left by whoever led before. */
  start(records: readonly Held[]): void {
    for (const held of records) this.#resume(held);
    this.#timer ??= setInterval(() => this.#tick(), tickMs);
    this.#pump();
  }

  /** Everything under way ends at its next step; what was reached is in the store. */
  async stop(reason: Error): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const node of this.nodes.all()) node.abort?.abort(reason);
    this.nodes.clear();
    this.#ready.length = 0;
    await Promise.allSettled([...this.#running]);
  }

  announced(identity: string, eventId: string): void {
    if (!this.active) return;
    const now = performance.now();
    const node = this.nodes.get(identity) ?? this.#add(identity, 'seenByEvent');
    if (!node || (node.eventId === eventId && eventId !== '')) return;
    const isFirst = node.eventId === '' && node.attempt === 0;
    node.eventId = eventId;
    node.seen = now;
    if (isFirst) return;
    const past = now - node.since > soonestMs;
    if (node.state === 'working') node.again = true;
    else if (node.state === 'coming' && past) this.#cameBack(node);
    else if ((node.state === 'held' && past) || node.state === 'absent') this.#anew(node);
    else if (node.state === 'later' && node.lane !== 'doubtful')
      this.nodes.putOff(node, Math.min(node.due, now + Math.min(1_000, this.#parts.settings.retryMinMs)), now);
  }

  discovered(identity: string): void {
    if (!this.active) return;
    const node = this.nodes.get(identity) ?? this.#add(identity, 'seenByDiscovery');
    if (!node) return;
    node.seen = performance.now();
    if (node.state === 'absent') this.#anew(node);
  }

  /** A node started on its overlay; those that don't lead remember it for when they do. */
  cameUp(identity: string): void {
    const now = performance.now();
    this.#cameUp.delete(identity);
    this.#cameUp.set(identity, now);
    if (this.#cameUp.size > maxCameUp) this.#cameUp.delete(this.#cameUp.keys().next().value ?? '');
    const node = this.nodes.get(identity);
    if (!node) return;
    // Anybody on the provisioning network may say that it came back; what is heard here is proved by its certificate.
    const saidToBeBack = node.mayComeUp && ['later', 'queued', 'knocking'].includes(node.state);
    if (node.state === 'coming' || node.state === 'absent' || saidToBeBack) {
      this.#up(node);
      node.abort?.abort(new Error('it is up'));
    } else if (node.state === 'working' && (node.step === 'configured' || node.step === 'restarted')) node.isUp = true;
  }

  resumeWork(): void {
    this.#pump();
  }

  #add(identity: string, how: 'seenByEvent' | 'seenByDiscovery'): Node | undefined {
    const node = this.nodes.add(identity, performance.now());
    if (!node) return undefined;
    this.#parts.journal.counters[how] += 1;
    this.#parts.journal.step(node, 'seen');
    queueMicrotask(() => this.#pump());
    return node;
  }

  #resume(held: Held): void {
    const { record } = held;
    const now = performance.now();
    const ageMs = Math.max(0, Date.now() - record.at);
    const cameUp = now - (this.#cameUp.get(record.identity) ?? Number.NEGATIVE_INFINITY) < cameUpMs;
    const plan = planResumption(record, { ageMs, holdMs, hasOverlay: this.#parts.settings.overlayUrls.length > 0, cameUp });
    if (plan === 'nothing' || this.nodes.get(record.identity)) return;
    const node = this.nodes.add(record.identity, now, 'proven');
    if (!node) return;
    const { attempt, failures = 0, serial, reason = '', next = 0 } = record;
    const isOrphan = plan === 'restart' || plan === 'anew';
    Object.assign(node, { attempt, failures, held, reason, eventId: 'resumed', orphan: isOrphan ? serial : undefined });
    if (plan === 'hold') this.nodes.enter(node, 'held', now - ageMs);
    else if (plan === 'up') this.#up(node);
    else if (plan === 'putOff') {
      node.verdict = record.step as Verdict;
      this.nodes.putOff(node, now + Math.max(0, next - Date.now()), now);
    } else if (plan === 'restart') {
      node.step = 'configured';
      this.nodes.enter(node, 'ready', now);
      this.#ready.push({ node, introduction: undefined });
    } else {
      if (plan === 'await') {
        node.step = 'restarted';
        this.nodes.enter(node, 'coming', now);
      }
      this.#run(() => this.#reclaim(node));
    }
  }

  /** With our epoch in it, so that nobody who led before goes on. */
  async #reclaim(node: Node): Promise<void> {
    const step = node.held?.record.step ?? 'token';
    await this.#parts.enrolment.claim(node, step).catch((error: unknown) => {
      if (codeOf(error) === 'PROVISIONER_LOST') this.nodes.forget(node);
    });
  }

  #tick(): void {
    const now = performance.now();
    const { settings } = this.#parts;
    this.nodes.ripen(now, Math.max(settings.retryMaxMs, settings.intervalMs) * silentIntervals);
    for (const node of this.nodes.all()) {
      const age = now - node.since;
      if (node.state === 'held' && age > holdMs) this.nodes.forget(node);
      else if (node.state === 'absent' && age > absentMs) this.nodes.forget(node);
      else if (node.state === 'coming' && age > settings.upTimeoutMs) this.#didNotCome(node);
    }
    for (const [identity, at] of this.#cameUp) {
      if (now - at < cameUpMs) break;
      this.#cameUp.delete(identity);
    }
    this.#pump();
  }

  #pump(): void {
    if (!this.active || this.paused || !this.#parts.leads()) return;
    this.#openDoor();
    const { workers, rate } = this.#parts.settings;
    while (this.#busy < workers && this.#ready.length > 0) {
      const now = performance.now();
      if (rate > 0 && now < this.#nextStart) {
        setTimeout(() => this.#pump(), this.#nextStart - now).unref();
        return;
      }
      if (rate > 0) this.#nextStart = Math.max(now, this.#nextStart) + 1_000 / rate;
      const next = this.#ready.shift();
      if (next && this.nodes.get(next.node.identity) === next.node) this.#run(() => this.#enrol(next));
    }
  }

  #openDoor(): void {
    const { workers } = this.#parts.settings;
    while (this.#knocking.size < doorWidth && this.#ready.length < workers * 2) {
      const node = this.nodes.take();
      if (!node) return;
      this.#run(() => this.#knock(node));
    }
    if (this.#knocking.size < doorWidth || !this.nodes.hasFresh) return;
    const now = performance.now();
    for (const node of this.#knocking) {
      if (now - node.since < patienceMs) return;
      this.#knocking.delete(node);
      this.#porch.add(node);
      const [longest] = this.#porch;
      if (this.#porch.size > porchWidth)
        longest?.abort?.abort(
          new ProvisionerError('PROVISIONER_CROWDED', `${longest.identity} did not answer while others waited`),
        );
    }
  }

  async #knock(node: Node): Promise<void> {
    const signal = this.#begin(node, 'knocking');
    node.attempt += 1;
    node.step = 'seen';
    this.#knocking.add(node);
    try {
      const introduction = await this.#parts.enrolment.introduce(node, signal);
      node.lane = 'proven';
      // So it is here, whoever said so.
      node.mayComeUp = false;
      this.nodes.enter(node, 'ready', performance.now());
      this.#ready.push({ node, introduction });
    } catch (error) {
      if (node.lane === 'new') node.lane = 'doubtful';
      await this.#failed(node, error, signal);
    } finally {
      this.#knocking.delete(node);
      this.#porch.delete(node);
      this.#pump();
    }
  }

  async #enrol({ node, introduction }: Ready): Promise<void> {
    const signal = this.#begin(node, 'working');
    node.again = false;
    node.isUp = false;
    this.#busy += 1;
    try {
      const { enrolment } = this.#parts;
      const outcome = introduction ? await enrolment.enrol(node, introduction, signal) : await enrolment.restart(node, signal);
      if (this.nodes.get(node.identity) === node) await this.#ended(node, outcome);
    } catch (error) {
      await this.#failed(node, error, signal);
    } finally {
      this.#busy -= 1;
      this.#pump();
    }
  }

  async #ended(node: Node, outcome: Outcome): Promise<void> {
    const now = performance.now();
    const { journal, settings } = this.#parts;
    if (outcome.did === 'deferred') return this.#putOff(node, 'deferred', outcome.why);
    this.#dropOrphan(node);
    node.verdict = undefined;
    node.reason = '';
    if (outcome.did === 'restarted') {
      node.mayComeUp = true;
      this.nodes.enter(node, 'coming', now);
      if (settings.overlayUrls.length === 0 || node.isUp) this.#up(node);
      return;
    }
    journal.enrolled(node);
    node.reason = `${outcome.did}: ${outcome.why}`;
    this.#parts.host.log.info(
      `${node.identity} ${outcome.did === 'shutdown' ? 'is told to stop' : 'is upgraded'}: ${outcome.why}`,
    );
    this.nodes.enter(node, 'held', now);
    await this.#note(node, 'up', {});
  }

  async #failed(node: Node, error: unknown, signal: AbortSignal): Promise<void> {
    // Whoever ended all work has cleared the list; whoever takes over reads the store.
    if (this.nodes.get(node.identity) !== node || node.state === 'held') return;
    const reason = signal.aborted ? signal.reason : error;
    const code = codeOf(reason);
    if (code === 'PROVISIONER_LOST') {
      this.nodes.forget(node);
      return;
    }
    // It may have got its certificate where it only did not say so.
    const step = node.held?.record.step;
    if (!(code === 'PROVISIONER_SILENT' && (step === 'configuring' || step === 'configured'))) this.#dropOrphan(node);
    await this.#putOff(node, code === 'PROVISIONER_REFUSED' ? 'refused' : 'failed', (reason as Error).message);
  }

  async #putOff(node: Node, verdict: Verdict, why: string): Promise<void> {
    const { settings, journal } = this.#parts;
    node.failures += 1;
    node.verdict = verdict;
    node.reason = why.slice(0, 500);
    const usual = backoffMs(node.failures, settings.retryMinMs, settings.retryMaxMs);
    const delay = node.again ? Math.min(usual, settings.retryMinMs) : usual;
    const now = performance.now();
    this.nodes.putOff(node, now + delay, now);
    journal.failed(node, verdict, why, delay);
    if (node.held) await this.#note(node, verdict, { next: Math.ceil(Date.now() + delay), reason: node.reason });
  }

  #dropOrphan(node: Node): void {
    if (node.orphan === undefined) return;
    void this.#parts.hook.revoke(node.identity, node.orphan);
    node.orphan = undefined;
  }

  /** Written down if that is possible; nothing goes wrong without. */
  async #note(node: Node, step: 'up' | Verdict, more: object): Promise<void> {
    await this.#parts.enrolment.claim(node, step, more).catch((error: Error) => this.#parts.host.log.debug(error.message));
  }

  #up(node: Node): void {
    const { journal, settings } = this.#parts;
    node.step = 'up';
    node.mayComeUp = false;
    node.failures = 0;
    node.rounds += 1;
    node.verdict = undefined;
    this.nodes.enter(node, 'held', performance.now());
    journal.enrolled(node);
    if (settings.overlayUrls.length > 0) {
      journal.counters.up += 1;
      journal.step(node, 'up');
    }
    this.#run(() => this.#note(node, 'up', {}));
  }

  /** It was configured and is in provisioning mode again. */
  #cameBack(node: Node): void {
    node.rounds += 1;
    this.#run(() => this.#putOff(node, 'failed', 'it came back in provisioning mode after it was configured'));
  }

  #didNotCome(node: Node): void {
    const { journal, settings } = this.#parts;
    const why = `it did not come up on its overlay within ${Math.round(settings.upTimeoutMs / 1000)} s`;
    node.verdict = 'failed';
    node.reason = why;
    node.failures += 1;
    this.nodes.enter(node, 'absent', performance.now());
    journal.counters.lateToCome += 1;
    journal.failed(node, 'failed', why, undefined);
  }

  /** It shows itself after its enrolment had ended. Whoever does so all the time has to wait like one that fails. */
  #anew(node: Node): void {
    const now = performance.now();
    const { retryMinMs, retryMaxMs } = this.#parts.settings;
    node.step = 'seen';
    this.#parts.journal.step(node, 'seen');
    if (node.rounds + node.failures > 1)
      this.nodes.putOff(node, now + backoffMs(node.rounds + node.failures, retryMinMs, retryMaxMs), now);
    else this.nodes.queue(node, now);
    this.#pump();
  }

  #begin(node: Node, state: 'knocking' | 'working'): AbortSignal {
    this.nodes.enter(node, state, performance.now());
    node.abort = new AbortController();
    setMaxListeners(0, node.abort.signal);
    return node.abort.signal;
  }

  #run(work: () => Promise<void>): void {
    const running: Promise<void> = work()
      .catch((error: Error) => this.#parts.host.log.error(`the work on a node ended unexpectedly: ${error.message}`))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}
