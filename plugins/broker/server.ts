// One nats-server: run by the host under a fixed id, watched, and started again with growing pauses when it ends.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { RepeatedLines } from './repeated-lines.ts';

export interface ServerOptions {
  /** Id of its process; files in the state folder are called after it. */
  readonly id: string;
  /** What it is called in the log and in errors. */
  readonly title: string;
  readonly program: string;
  readonly listen: string;
  readonly port: number;
  /** The key that gives the port. */
  readonly portKey: string;
  /** File in the state folder that keeps the port of the monitor. */
  readonly monitorFile: string;
  readonly configuration: (monitorPort: number) => string;
}

const readyMs = 10_000;
const pollMs = 50;
const healthMs = 1_000;
const firstBackoffMs = 200;
const maxBackoffMs = 10_000;
/** A server that lived this long starts again at once. */
const stableMs = 60_000;

export class WatchedServer {
  readonly #host: Host;
  readonly #options: ServerOptions;
  #command: readonly string[] = [];
  #monitorPort = 0;
  #stopping = false;
  #backoffMs = firstBackoffMs;
  #startedAt = 0;
  #lastLine = '';
  #ready: Promise<boolean> = Promise.resolve(true);
  readonly #repeated = new RepeatedLines();

  constructor(host: Host, options: ServerOptions) {
    this.#host = host;
    this.#options = options;
  }

  get monitorPort(): number {
    return this.#monitorPort;
  }

  get port(): number {
    return this.#options.port;
  }

  /** @throws PluginError if its port is taken */
  async start(): Promise<{ readonly wasRunning: boolean }> {
    const { id, program, configuration } = this.#options;
    const folder = this.#host.stateFolder ?? '.';
    const running = (await this.#host.processes.list()).some((process) => process.id === id);
    if (!running) await this.#refuseTakenPort();
    this.#monitorPort = await keptPort(join(folder, this.#options.monitorFile), running);
    const file = join(folder, `${id}.conf`);
    writeFileSync(file, configuration(this.#monitorPort), { mode: 0o600 });
    this.#command = [program, '-c', file];
    // Equal to what runs already after a reload of this bundle: then it is left alone.
    await this.#launch();
    if (running) await this.#host.processes.signal(id, 'SIGHUP');
    // The host opens what was declared when activate is answered, so health is awaited afterwards.
    else this.#ready = this.#awaitReady();
    return { wasRunning: running };
  }

  /** Whether it got ready after it was started. */
  get ready(): Promise<boolean> {
    return this.#ready;
  }

  stop(): void {
    this.#stopping = true;
  }

  async status(): Promise<{ healthy: boolean; summary: string }> {
    const { title, port } = this.#options;
    const healthy = await this.isHealthy();
    return {
      healthy,
      summary: healthy ? `${title} listens on port ${port}` : `${title} does not answer: ${this.#lastLine}`,
    };
  }

  async isHealthy(): Promise<boolean> {
    try {
      return (await fetch(`http://127.0.0.1:${this.#monitorPort}/healthz`, { signal: AbortSignal.timeout(healthMs) })).ok;
    } catch {
      return false;
    }
  }

  async #launch(): Promise<void> {
    this.#startedAt = Date.now();
    await this.#host.processes.start(
      { id: this.#options.id, command: this.#command, output: 'lines', graceMs: 5_000 },
      { onOutput: ({ line }) => this.#log(line), onExit: ({ exitCode, signal }) => this.#exited(exitCode, signal) },
    );
  }

  #exited(exitCode: number | null, signal: string | null): void {
    if (this.#stopping) return;
    if (Date.now() - this.#startedAt > stableMs) this.#backoffMs = firstBackoffMs;
    this.#host.log.error(
      `${this.#options.title} ended (${signal ?? `exit ${exitCode}`}) and is started again in ${this.#backoffMs} ms; its last words: ${this.#lastLine}`,
    );
    setTimeout(() => {
      if (!this.#stopping) this.#launch().catch((error: Error) => this.#host.log.error(error.message));
    }, this.#backoffMs);
    this.#backoffMs = Math.min(maxBackoffMs, this.#backoffMs * 2);
  }

  /** nats-server's own lines: `[pid] date time [LVL] text`. */
  #log(line: string): void {
    const [, level = 'INF', text = line] = /\[(INF|WRN|ERR|FTL|DBG|TRC)\] (.*)$/.exec(line) ?? [];
    this.#lastLine = text;
    // Of the fleet, the user without a password is who certificates stand for; others are in a file that is ours alone.
    if (text.startsWith('Plaintext passwords detected')) return;
    // Told in words of ours where it was decided.
    if (text.startsWith('Auth callout service returned an error')) return;
    if (level === 'ERR' || level === 'FTL') this.#repeated.tell(text, (line) => this.#host.log.error(line));
    else if (level === 'WRN') this.#repeated.tell(text, (line) => this.#host.log.warn(line));
    else this.#host.log.debug(text);
  }

  async #awaitReady(): Promise<boolean> {
    const { title, port } = this.#options;
    const until = Date.now() + readyMs;
    while (Date.now() < until && !this.#stopping) {
      if (await this.isHealthy()) {
        this.#host.log.info(`${title === 'nats-server' ? 'broker' : title} is ready on port ${port}`);
        return true;
      }
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    if (!this.#stopping)
      this.#host.log.error(`${title} did not become healthy within ${readyMs} ms; its last words: ${this.#lastLine}`);
    return false;
  }

  async #refuseTakenPort(): Promise<void> {
    const { port, listen, portKey } = this.#options;
    if (await isFree(port, listen)) return;
    throw new PluginError('UNAVAILABLE', `port ${port} is taken by another program; choose another with ${portKey}`);
  }
}

/** The port of the last start while that server runs, else a free one. The port may be newer than the server. */
export async function keptPort(file: string, running: boolean): Promise<number> {
  if (running && existsSync(file)) return Number(readFileSync(file, 'utf8'));
  const port = await freePort();
  writeFileSync(file, String(port), { mode: 0o600 });
  return port;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}
