// The folder of jobs: begins them, finds them by handle, forgets those that ended long ago.

import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ActionError } from 'muster/sdk';
import type { JobFile } from './files.ts';
import { Job } from './job.ts';
import type { Account } from './users.ts';

const handlePattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const maxCommandBytes = 10_240;
/** Jobs that ended and are remembered, however young. */
const maxEnded = 200;
const lookMs = 10;

export interface JobLimits {
  readonly maxRunning: number;
  readonly maxOutput: number;
  readonly retentionMs: number;
}

export class Jobs {
  readonly #folder: string;
  readonly #limits: JobLimits;

  constructor(folder: string, limits: JobLimits) {
    this.#folder = folder;
    this.#limits = limits;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  all(): Job[] {
    return readdirSync(this.#folder)
      .filter((name) => handlePattern.test(name))
      .map((name) => new Job(this.#folder, name));
  }

  /** @throws ActionError if there is none */
  find(handle: string): Job {
    if (!handlePattern.test(handle))
      throw new ActionError(`${JSON.stringify(handle.slice(0, 100))} is not the handle of a job`, { status: 4 });
    const job = new Job(this.#folder, handle);
    if (!job.exists) throw new ActionError(`there is no job ${handle} on this machine`);
    return job;
  }

  /** Starts a command; it runs, or has failed to, when this resolves. @throws ActionError */
  async begin(command: string, account: Account, limitMs: number | null, signal: AbortSignal): Promise<Job> {
    if (command === '' || command.includes('\0') || Buffer.byteLength(command) > maxCommandBytes)
      throw new ActionError(`a command has 1 to ${maxCommandBytes} bytes, and no NUL`, { status: 4 });
    this.forget();
    const running = this.all().filter(({ state }) => state.at === 'running' || state.at === 'starting').length;
    if (running >= this.#limits.maxRunning)
      throw new ActionError(`${running} jobs run already, which is what plugin.shell.max_jobs allows; try again later`);
    const job = this.#write(command, account, limitMs);
    const supervisor = spawn(process.execPath, [fileURLToPath(new URL('./supervisor.js', import.meta.url)), job.folder], {
      cwd: '/',
      env: {},
      // A session of its own, which neither a reload nor the end of the node reaches.
      detached: true,
      stdio: 'ignore',
    });
    supervisor.on('error', () => undefined);
    supervisor.unref();
    while (job.state.at === 'starting') await sleep(lookMs, undefined, { signal });
    return job;
  }

  /** Removes jobs that ended long ago, and the oldest of very many. */
  forget(): void {
    const ended = this.all()
      .filter(({ state }) => state.at === 'stopped' || state.at === 'failed')
      .sort((a, b) => b.changedMs - a.changedMs);
    const eldest = Date.now() - this.#limits.retentionMs;
    ended
      .filter((job, index) => index >= maxEnded || job.changedMs < eldest)
      .forEach((job) => {
        this.remove(job);
      });
  }

  remove({ folder }: Job): void {
    rmSync(folder, { recursive: true, force: true });
  }

  #write(command: string, { name, home, shell, prefix }: Account, limitMs: number | null): Job {
    const { PATH = '/usr/local/bin:/usr/bin:/bin', LANG, LC_ALL, TZ } = process.env;
    const job = new Job(this.#folder, randomUUID());
    const content: JobFile = {
      command,
      // Without the two dashes a command that begins with one would be options of the shell.
      argv: [...prefix, '/bin/sh', '-c', '--', command],
      environment: {
        PATH,
        HOME: home,
        SHELL: shell,
        USER: name,
        LOGNAME: name,
        ...(LANG !== undefined && { LANG }),
        ...(LC_ALL !== undefined && { LC_ALL }),
        ...(TZ !== undefined && { TZ }),
      },
      maxOutput: this.#limits.maxOutput,
      limitMs,
    };
    mkdirSync(job.folder, { mode: 0o700 });
    writeFileSync(join(job.folder, 'job.json'), JSON.stringify(content), { mode: 0o600 });
    return job;
  }
}
