// `overlay up`: certificates, configuration, broker, nodes, show, and a clean end.

import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { lock } from 'proper-lockfile';
import { type Call, definePlugin, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { choosePort } from './ports.ts';
import { type EnrollingPlan, prepareOverlay } from './prepare.ts';
import { Processes } from './processes.ts';
import { invitation, show } from './show.ts';

interface Options {
  readonly exit?: boolean;
  readonly state: string;
  readonly port: number;
  readonly show: boolean;
}

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host) => {
    let running: Overlay | undefined;
    return {
      methods: {
        'command/run': async ({ options }: { options: Options }, call: Call) => {
          running = new Overlay(host, options, call.signal);
          return { exitCode: await running.run() };
        },
      },
      shutdown: () => running?.stop(),
    };
  },
});

class Overlay {
  readonly #host: Host;
  readonly #options: Options;
  readonly #signal: AbortSignal;
  #processes: Processes | undefined;
  #unlock: (() => Promise<void>) | undefined;

  constructor(host: Host, options: Options, signal: AbortSignal) {
    this.#host = host;
    this.#options = options;
    this.#signal = signal;
  }

  async run(): Promise<number> {
    const folder = resolve(this.#options.state);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#unlock = await lock(folder, { lockfilePath: `${folder}/up.lock`, stale: 10_000 }).catch(() => {
      throw new PluginError(
        'UNAVAILABLE',
        `an overlay is already up with the state folder ${folder}; stop it, or name another folder with --state`,
      );
    });
    const port = await choosePort(this.#options.port, folder);
    const provisioning = await choosePort(port + 1, folder, 'provisioning-port');
    const aaa = await choosePort(port + 2, folder, 'aaa-port');
    if (port !== this.#options.port) await this.#say(`Port ${this.#options.port} is taken; the broker listens on ${port}.`);
    await this.#say('Making certificates and configuration …');
    const { program = [], root = '' } = await this.#host.control.info();
    const ports = { fleet: port, provisioning, aaa };
    const plan = await prepareOverlay(folder, ports, process.env, join(root, '../fixtures'));
    const processes = new Processes(this.#host, program, this.#signal);
    this.#processes = processes;
    await this.#say(`Starting the broker on port ${port} …`);
    await processes.startBroker(plan, ['broker', 'registry']);
    await processes.awaitBroker([port, provisioning]);
    await this.#enrol(processes, plan);
    await processes.startAaa(plan);
    await processes.awaitBroker([aaa]);
    await processes.awaitAnswers(plan);
    await this.#say('The overlay is up, and every node answers.\n');
    if (this.#options.show) await show(this.#host, processes, plan);
    if (this.#options.exit) return 0;
    await this.#say(invitation(plan, root));
    return processes.watch();
  }

  /** The nodes know nothing but their names and a token; how they get the rest is shown as it happens. */
  async #enrol(processes: Processes, plan: EnrollingPlan): Promise<void> {
    const names = plan.nodes.map(({ identity }) => identity);
    await this.#say(`Starting a provisioner and ${names.length} empty nodes, which enrol themselves: ${names.join(', ')}\n`);
    // First of all, so that it misses nothing.
    const watching = processes.showUntilEnrolled(plan);
    watching.catch(() => undefined);
    await Promise.race([processes.awaitWatch(plan.folder), watching]);
    await processes.startProvisioner(plan);
    await processes.startNodes(plan);
    const exitCode = await watching;
    if (exitCode !== 0)
      throw new PluginError('UNAVAILABLE', `the enrolment of the nodes could not be watched (exit ${exitCode})`);
    await this.#say('');
  }

  async stop(): Promise<void> {
    await this.#say('\nStopping the nodes and the broker …').catch(() => undefined);
    await this.#processes?.stop();
    await this.#unlock?.().catch(() => undefined);
  }

  async #say(text: string): Promise<void> {
    await this.#host.terminal.write(`${text}\n`);
  }
}
