// The host's side of the launcher: started on first use, ended when it has been idle, started again if it dies.

import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { Peer } from '../protocol/peer.ts';
import { PipeCarrier } from '../protocol/pipe.ts';
import { startChild } from './child.ts';
import { distributionRoot } from './distribution.ts';
import type { Guardian } from './guardian.ts';
import type { RunParams, RunResult } from './launcher-process.ts';

const idleMs = 60_000;

interface Running {
  readonly process: ChildProcess;
  readonly peer: Peer;
}

export class Launcher {
  readonly #guardian: Guardian;
  #running: Running | undefined;
  #idle: NodeJS.Timeout | undefined;
  #active = 0;

  constructor(guardian: Guardian) {
    this.#guardian = guardian;
  }

  /**
   * Runs a program to its end. An aborted signal or a passed deadline ends it and its group.
   * @throws PluginError `UNAVAILABLE` if it can't be started, `DEADLINE`, `CANCELLED`, `GONE` if the launcher died
   */
  async run(params: RunParams, options: { deadlineMs: number; signal?: AbortSignal | undefined }): Promise<RunResult> {
    const { peer } = this.#start();
    let group: number | undefined;
    this.#active += 1;
    clearTimeout(this.#idle);
    try {
      return (await peer.call('run', params, {
        ...options,
        onProgress: (value) => {
          group = (value as { pid: number | null }).pid ?? undefined;
          if (group !== undefined) this.#guardian.guard(group);
        },
      })) as RunResult;
    } finally {
      if (group !== undefined) this.#guardian.release(group);
      this.#active -= 1;
      if (this.#active === 0) {
        this.#idle = setTimeout(() => this.close(), idleMs);
        this.#idle.unref();
      }
    }
  }

  close(): void {
    clearTimeout(this.#idle);
    const running = this.#running;
    this.#running = undefined;
    running?.peer.close(new Error('the host stops'));
    running?.process.stdin?.end();
  }

  #start(): Running {
    if (this.#running) return this.#running;
    const script = join(distributionRoot(), 'core/host/launcher-process.js');
    const { process: child } = startChild({
      command: [process.execPath, '--max-old-space-size=64', script],
      env: {},
      stdin: 'pipe',
      output: 'pipe',
      stderr: 'inherit',
    });
    const { stdin, stdout } = child;
    if (!stdin || !stdout) throw new Error('the launcher has no pipes');
    const carrier = new PipeCarrier({ input: stdout, output: stdin, maxLineBytes: Number.MAX_SAFE_INTEGER });
    carrier.agree({ maxLineBytes: Number.MAX_SAFE_INTEGER });
    const peer = new Peer({
      carrier,
      onRequest: () => undefined,
      onClosed: () => {
        if (this.#running?.peer === peer) this.#running = undefined;
      },
    });
    child.unref();
    const running = { process: child, peer };
    this.#running = running;
    return running;
  }
}
