// The processes of an overlay: broker, nodes, and commands that look at them.

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { awaitListener } from './ports.ts';
import type { EnrollingPlan, OverlayPlan } from './prepare.ts';

const upMs = 60_000;
const pollMs = 100;
const brokerId = 'broker';

interface CommandOptions {
  readonly onLine?: (line: string, stream: string) => void;
  /** File that it reads from. */
  readonly input?: string;
}

export class Processes {
  readonly #host: Host;
  readonly #program: readonly string[];
  readonly #signal: AbortSignal;
  /** Rejects when whoever started it wants it to end. */
  readonly #aborted: Promise<never>;
  #commands = 0;
  #stopping = false;
  #onLost: (error: Error) => void = () => undefined;
  /** Rejects when a process of the overlay ends that should not. */
  readonly #lost = new Promise<never>((_resolve, reject) => {
    this.#onLost = reject;
  });

  constructor(host: Host, program: readonly string[], signal: AbortSignal) {
    this.#host = host;
    this.#program = program;
    this.#signal = signal;
    this.#lost.catch(() => undefined);
    this.#aborted = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
    this.#aborted.catch(() => undefined);
  }

  /** @param services that run in the broker's process */
  async startBroker({ brokerConfig, folder }: OverlayPlan, services: readonly string[] = ['broker']): Promise<void> {
    await this.#start(brokerId, ['run', ...services, '--config', brokerConfig], `${folder}/broker.log`);
  }

  /** Waits until it listens on all of these ports. @throws if it ends before */
  async awaitBroker(ports: readonly number[]): Promise<void> {
    const deadline = AbortSignal.any([this.#signal, AbortSignal.timeout(upMs)]);
    await Promise.race([Promise.all(ports.map((port) => awaitListener(port, deadline))), this.#lost]);
  }

  async startProvisioner({ provisionerConfig, folder }: EnrollingPlan): Promise<void> {
    await this.#start('provisioner', ['run', 'provisioner', '--config', provisionerConfig], `${folder}/provisioner.log`);
  }

  async startAaa({ aaa, folder }: EnrollingPlan): Promise<void> {
    await this.#start('aaa', ['run', 'aaa', '--config', aaa.config], `${folder}/aaa.log`);
  }

  /** Shows how the nodes are enrolled until all are up. @throws PluginError if that takes too long */
  async showUntilEnrolled({ nodes, provisionerConfig, folder }: EnrollingPlan): Promise<number> {
    rmSync(readyFile(folder), { force: true });
    const late = new AbortController();
    const deadline = sleep(upMs, undefined, { signal: late.signal }).then(() => {
      throw new PluginError(
        'UNAVAILABLE',
        `the nodes were not enrolled within ${upMs / 1000} s: ${lastError(`${folder}/provisioner.log`)}`,
      );
    });
    deadline.catch(() => undefined);
    try {
      const flags = ['--until-up', String(nodes.length), '--ready-file', readyFile(folder)];
      const args = ['provisioning', 'watch', ...flags, '--config', provisionerConfig];
      return await Promise.race([this.show(args), deadline]);
    } finally {
      late.abort();
    }
  }

  /** Waits until that misses nothing. */
  async awaitWatch(folder: string): Promise<void> {
    const deadline = AbortSignal.any([this.#signal, AbortSignal.timeout(upMs)]);
    while (!existsSync(readyFile(folder))) await sleep(pollMs, undefined, { signal: deadline });
  }

  /** @param onLine told of every line on stderr, for nodes that log there */
  async startNodes({ nodes, folder }: OverlayPlan, onLine?: (line: string) => void): Promise<void> {
    for (const { identity, configFile } of nodes)
      await this.#start(identity, ['run', 'server', '--config', configFile], `${folder}/nodes/${identity}/server.log`, onLine);
  }

  /** Runs a command of `muster` beside the others until all end, and hands its lines on. */
  follow(id: string, args: readonly string[], onLine: (line: string) => void): Promise<void> {
    return this.#start(id, args, '', onLine);
  }

  /** Pings until every node has answered. @throws PluginError naming those that did not */
  async awaitAnswers({ nodes, clientConfig }: OverlayPlan): Promise<void> {
    const until = Date.now() + upMs;
    let missing = nodes.map(({ identity }) => identity);
    let said = '';
    while (missing.length > 0) {
      if (Date.now() > until)
        throw new PluginError(
          'UNAVAILABLE',
          `${missing.join(', ')} did not answer within ${upMs / 1000} s${said ? `: ${said}` : ''}`,
        );
      const lines: string[] = [];
      const errors: string[] = [];
      await this.#command(['ping', '--names', '--expect', String(nodes.length), '--timeout', '2', '--config', clientConfig], {
        onLine: (line, stream) => (stream === 'stdout' ? lines : errors).push(line),
      });
      missing = missing.filter((name) => !lines.includes(name));
      said = errors.at(-1) ?? '';
      if (missing.length > 0) await sleep(pollMs, undefined, { signal: this.#signal });
    }
  }

  /** Runs a command of `muster` with this terminal, and returns its exit code. */
  show(args: readonly string[]): Promise<number> {
    return this.#command(args, {});
  }

  /** The same with a file as its standard input. */
  showWithInput(args: readonly string[], file: string): Promise<number> {
    return this.#command(args, { input: file });
  }

  async pause(identity: string): Promise<void> {
    await this.#host.processes.signal(identity, 'SIGSTOP');
  }

  async resume(identity: string): Promise<void> {
    await this.#host.processes.signal(identity, 'SIGCONT');
  }

  /** Waits for the end; fails if a part of the overlay ends before. */
  async watch(): Promise<number> {
    return Promise.race([this.#aborted, this.#lost]);
  }

  /** Ends the nodes, then the broker, so that the nodes can say goodbye. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const running = (await this.#host.processes.list()).map(({ id }) => id);
    await Promise.all(running.filter((id) => id !== brokerId).map((id) => this.#end(id)));
    if (running.includes(brokerId)) await this.#end(brokerId);
  }

  async #end(id: string): Promise<void> {
    // A node that was paused for the show could not hear.
    await this.#host.processes.signal(id, 'SIGCONT').catch(() => undefined);
    await this.#host.processes.stop(id).catch(() => undefined);
  }

  async #start(id: string, args: readonly string[], logFile: string, onLine?: (line: string) => void): Promise<void> {
    let last = '';
    await this.#host.processes.start(
      { id, command: [...this.#program, ...args], env: this.#environment(), output: 'lines', graceMs: 10_000 },
      {
        onOutput: ({ line }) => {
          last = line;
          onLine?.(line);
        },
        onExit: ({ exitCode, signal }) => {
          if (this.#stopping) return;
          this.#onLost(
            new PluginError('UNAVAILABLE', `${id} ended (${signal ?? `exit ${exitCode}`}): ${last || lastError(logFile)}`),
          );
        },
      },
    );
  }

  async #command(args: readonly string[], { onLine, input }: CommandOptions): Promise<number> {
    this.#signal.throwIfAborted();
    this.#commands += 1;
    const id = `command:${this.#commands}`;
    const fed = input === undefined ? [] : ['sh', '-c', 'input=$1; shift; exec "$@" < "$input"', 'sh', input];
    const ended = new Promise<number>((resolve) => {
      this.#host.processes
        .start(
          { id, command: [...fed, ...this.#program, ...args], env: this.#environment(), output: onLine ? 'lines' : 'terminal' },
          { onOutput: ({ line, stream }) => onLine?.(line, stream), onExit: ({ exitCode }) => resolve(exitCode ?? 1) },
        )
        .catch(() => resolve(1));
    });
    return Promise.race([ended, this.#lost, this.#aborted]);
  }

  #environment(): Record<string, string> {
    return Object.fromEntries(
      ['NATS_SERVER', 'USER', 'HOME', 'TERM', 'NO_COLOR'].flatMap((name) =>
        process.env[name] === undefined ? [] : [[name, process.env[name]]],
      ),
    );
  }
}

function readyFile(folder: string): string {
  return join(folder, 'watching');
}

/** The last line of a log that tells of an error, as far as it can be read. */
function lastError(file: string): string {
  try {
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    const entry = JSON.parse(lines.findLast((line) => line.includes('"level":"error"')) ?? lines.at(-1) ?? '{}') as {
      msg?: string;
    };
    return entry.msg ?? `see ${file}`;
  } catch {
    return `see ${file}`;
  }
}
