// An AAA service as a process of its own, to be stopped, killed, and given a disk that is too small.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { distributionRoot } from '../../core/host/distribution.ts';
import type { Authority } from '../../plugins/overlay/ca.ts';
import { writeConfig } from './command.ts';
import { until } from './folders.ts';
import { type ServiceOptions, SignerService, send } from './signer-service.ts';

const main = join(distributionRoot(), 'core/cli/main.js');

export class SignerProcess {
  readonly service: SignerService;
  readonly #config: string;
  readonly #wrap: readonly string[];
  #child: ChildProcess | undefined;
  log = '';

  private constructor(service: SignerService, config: string, wrap: readonly string[]) {
    this.service = service;
    this.#config = config;
    this.#wrap = wrap;
  }

  /** @param wrap words before the command, such as those that give it a small disk */
  static async start(authority: Authority, options: ServiceOptions = {}, wrap: readonly string[] = []): Promise<SignerProcess> {
    const settings = { authorizer: 'actionlist', ...options.settings };
    const service = await SignerService.start(authority, { ...options, start: false, settings });
    const { config = {} } = await service.configure(authority, { ...options, settings });
    const file = writeConfig(service.folder, 'aaa.conf', { ...config, 'plugin.muster.state': join(service.folder, 'state') });
    const signer = new SignerProcess(service, file, wrap);
    await signer.resume();
    return signer;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** A path as the process sees it. */
  seenBy(path: string): string {
    return `/proc/${this.pid}/root${path}`;
  }

  async resume(): Promise<void> {
    const [program = '', ...args] = [...this.#wrap, process.execPath, main, 'run', 'aaa', '--config', this.#config];
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    child.stderr?.on('data', (chunk: Buffer) => {
      this.log += chunk.toString();
    });
    await until('the service answers', async () => {
      if (child.exitCode !== null) throw new Error(`the service ended: ${this.log}`);
      return (await send(this.service.monitorPort, '/readyz', '', {}, 'GET').catch(() => undefined))?.status === 200;
    });
  }

  /** @returns its exit code; null if it was killed */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const ended = once(child, 'exit');
    child.kill(signal);
    const [code] = (await ended) as [number | null];
    return code;
  }

  async stop(): Promise<void> {
    await this.end('SIGKILL');
    await this.service.stop();
  }
}
