// A version of a plugin that runs, with what is under way at it.

import { PluginError } from '../protocol/errors.ts';
import { lifecycle } from '../protocol/messages.ts';
import { patientMs } from './attached.ts';
import type { Staged } from './declarations.ts';
import { startInline } from './inline.ts';
import type { Instance } from './instance.ts';
import { startOneshot } from './oneshot.ts';
import { type PersistentOptions, startPersistent } from './persistent.ts';
import type { PluginSpec } from './spec.ts';

export const pingMs = 5_000;
const activateMs = 10_000;

export class Live {
  readonly spec: PluginSpec;
  readonly instance: Instance;
  /** What it declared while it started. */
  readonly staged: Staged;
  /** False until the host switched to it. */
  current = false;
  /** Calls and deliveries that it has not answered. */
  inFlight = 0;
  deliveries = 0;
  lastUsed = performance.now();
  failedPings = 0;
  ticker: NodeJS.Timeout | undefined;
  #onQuiet: (() => void) | undefined;

  constructor(spec: PluginSpec, instance: Instance, staged: Staged) {
    this.spec = spec;
    this.instance = instance;
    this.staged = staged;
  }

  get isQuiet(): boolean {
    return this.inFlight + this.deliveries === 0;
  }

  /** Activates it and looks whether it is well. @throws PluginError `UNAVAILABLE`; it has then ended */
  async becomeReady(): Promise<void> {
    const { instance, spec } = this;
    const patience = instance.runner === 'attached' ? patientMs : 0;
    try {
      if (instance.activates) await instance.call(lifecycle.activate, {}, { deadlineMs: Math.max(activateMs, patience) });
      if (instance.runner !== 'oneshot') await instance.call(lifecycle.ping, {}, { deadlineMs: Math.max(pingMs, patience) });
    } catch (error) {
      await this.end();
      throw new PluginError('UNAVAILABLE', `${spec.kind}/${spec.name} did not become ready: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  /** To be told whenever a call or a delivery was answered. */
  settled(): void {
    if (this.isQuiet) this.#onQuiet?.();
  }

  /** Waits until `done`, at most `limitMs`. Checked whenever the version becomes quiet. */
  async until(done: () => boolean, limitMs: number): Promise<void> {
    const end = Date.now() + limitMs;
    while (!done() && Date.now() < end) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(20, end - Date.now()));
        this.#onQuiet = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#onQuiet = undefined;
  }

  async end(): Promise<void> {
    clearInterval(this.ticker);
    await this.instance.stop(this.spec.limits.graceMs);
  }
}

export async function startByRunner(options: PersistentOptions): Promise<Instance> {
  switch (options.spec.runner) {
    case 'inline':
      return startInline(options);
    case 'oneshot':
      return startOneshot(options);
    default:
      return startPersistent(options);
  }
}
