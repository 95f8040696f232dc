// Provisioners as processes of their own, to be stopped and killed.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { distributionRoot } from '../../core/host/distribution.ts';
import { writeConfig } from './command.ts';
import type { ProvisioningNetwork } from './enrolling-network.ts';

const main = join(distributionRoot(), 'core/cli/main.js');

export class ProvisionerProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  log = '';

  constructor(network: ProvisioningNetwork, name: string, more: Readonly<Record<string, unknown>> = {}) {
    this.name = name;
    const folder = join(network.folder, name);
    mkdirSync(folder, { recursive: true });
    const config = writeConfig(folder, 'provisioner.conf', {
      ...network.config(),
      'plugin.muster.state': join(folder, 'state'),
      'plugin.provisioner.leader_election': true,
      loglevel: 'debug',
      ...more,
    });
    this.#child = spawn(process.execPath, [main, 'run', 'provisioner', '--config', config], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.log += chunk.toString();
    });
  }

  /** The highest epoch with which it led; 0 if it never did. */
  get epoch(): number {
    return Math.max(0, ...[...this.log.matchAll(/leads, with epoch (\d+)/g)].map(([, epoch]) => Number(epoch)));
  }

  /** The most memory that it had, in MiB. */
  get peakMegabytes(): number {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.#child.pid}/status`, 'utf8')) ?? [];
    return Number(kilobytes) / 1_024;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    if (this.hasEnded) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }
}
