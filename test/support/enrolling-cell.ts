// A whole overlay whose nodes enrol themselves, in processes of their own: broker, provisioner, emulated nodes with a prepared key. Its
// files are in memory where there is such a folder, since the disks of thousands of machines are not this one's.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import { distributionRoot } from '../../core/host/distribution.ts';
import { type IssuedFiles, issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { provideSecrets, type Secrets } from '../../plugins/overlay/enrolment.ts';
import { type EnrollingPlan, type Ports, prepareOverlay } from '../../plugins/overlay/prepare.ts';
import { freePort, until } from './folders.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
/** A subject that nodes of the provisioning network may answer to. */
const inboxPrefix = 'provisioning.reply.test';

interface Watcher {
  /** Steps of the provisioner with the milliseconds since the one before, in order. */
  readonly onStep: (identity: string, step: string, ms: number) => void;
  /** A node has started in the fleet. */
  readonly onUp: (identity: string) => void;
}

export class EnrollingCell {
  readonly folder: string;
  readonly plan: EnrollingPlan;
  readonly ports: Ports;
  readonly secrets: Secrets;
  /** Certificate of a client of the fleet. */
  readonly files: IssuedFiles;
  readonly #running = new Set<ChildProcess>();

  private constructor(folder: string, plan: EnrollingPlan, ports: Ports, secrets: Secrets, files: IssuedFiles) {
    this.folder = folder;
    this.plan = plan;
    this.ports = ports;
    this.secrets = secrets;
    this.files = files;
  }

  /** With brokers that listen, and nobody else. */
  static async start(): Promise<EnrollingCell> {
    const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'muster-cell-'));
    const ports = { fleet: await freePort(), provisioning: await freePort(), aaa: await freePort() };
    const plan = await prepareOverlay(folder, ports, process.env, join(distributionRoot(), '../fixtures'));
    const authority = await openAuthority(join(folder, 'authority'), '');
    const files = await issueFiles(authority, { commonName: 'watcher.example.net' });
    // Thousands connect from this one machine; who waits for its turn is not to be sent away.
    appendFileSync(plan.brokerConfig, 'plugin.choria.network.tls_timeout = 60s\n');
    // What nodes tell of themselves once they are in the fleet is no part of the way there.
    const settings = join(folder, 'node-settings.conf');
    writeFileSync(settings, readFileSync(settings, 'utf8').replaceAll(/^registration.*\n/gm, ''));
    const cell = new EnrollingCell(folder, plan, ports, provideSecrets(folder), files);
    cell.run(['run', 'broker', '--config', plan.brokerConfig]);
    await until('the brokers listen', () => cell.#listens(), 60_000);
    return cell;
  }

  /** Further lines come after those of the plan. */
  provisioner(name: string, lines: readonly string[] = []): ChildProcess {
    const config = join(this.folder, `${name}.conf`);
    const own = [...lines, `plugin.muster.state = ${join(this.folder, name)}`];
    writeFileSync(config, `${readFileSync(this.plan.provisionerConfig, 'utf8')}${own.join('\n')}\n`, { mode: 0o600 });
    return this.run(['run', 'provisioner', '--config', config]);
  }

  emulate(nodes: number, processes: number, prefix: string): ChildProcess {
    const numbers = ['--nodes', String(nodes), '--processes', String(processes), '--prefix', prefix];
    const files = ['--provision', join(this.folder, 'provisioning.jwt'), '--config', this.plan.clientConfig];
    return this.run(['emulate', ...numbers, ...files]);
  }

  /** A command of `muster` that goes on until it is stopped. */
  run(args: readonly string[]): ChildProcess {
    const env = { ...process.env, TMPDIR: this.folder };
    const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'ignore', 'inherit'], env });
    this.#running.add(child);
    return child;
  }

  /** Ends some of its processes. */
  async end(...children: readonly ChildProcess[]): Promise<void> {
    for (const child of children) child.kill('SIGINT');
    await Promise.all(children.filter(isRunning).map((child) => once(child, 'exit')));
    for (const child of children) this.#running.delete(child);
  }

  /** Connections to both networks. */
  async connections(): Promise<{ provisioning: NatsConnection; fleet: NatsConnection; close(): Promise<void> }> {
    const { cert: certFile, key: keyFile, ca: caFile } = this.files;
    const login = { user: 'provisioner', pass: this.secrets.provisionerPassword };
    const provisioning = await connect({
      servers: `nats://127.0.0.1:${this.ports.provisioning}`,
      ...login,
      tls: { caFile },
      inboxPrefix,
    });
    const fleet = await connect({ servers: `nats://127.0.0.1:${this.ports.fleet}`, tls: { certFile, keyFile, caFile } });
    return {
      provisioning,
      fleet,
      close: async () => {
        await Promise.all([provisioning.close(), fleet.close()]);
      },
    };
  }

  /** Hears of the nodes on both networks until it is closed; `begun` is the time of the first event, by performance.now(). */
  async watch({ onStep, onUp }: Watcher): Promise<{ begun: () => number; close(): Promise<void> }> {
    const { provisioning, fleet, close } = await this.connections();
    const at = new Map<string, number>();
    let begun = 0;
    provisioning.subscribe('choria.lifecycle.event.startup.provision_mode_server', {
      callback: () => {
        begun ||= performance.now();
      },
    });
    provisioning.subscribe('choria.provisioning.event.*', {
      callback: (_error, message) => {
        const { identity, step } = message.json<{ data: { identity: string; step: string } }>().data;
        const now = performance.now();
        onStep(identity, step, now - (at.get(identity) ?? now));
        at.set(identity, now);
      },
    });
    fleet.subscribe('choria.lifecycle.event.startup.server', {
      callback: (_error, message) => onUp(message.json<{ data: { identity: string } }>().data.identity),
    });
    await Promise.all([provisioning.flush(), fleet.flush()]);
    return { begun: () => begun, close };
  }

  async stop(): Promise<void> {
    await this.end(...this.#running);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #listens(): Promise<boolean> {
    try {
      await (await this.connections()).close();
      return true;
    } catch {
      return false;
    }
  }
}

function isRunning({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null;
}
