// The broker service: writes the configuration, has the host run nats-server under a fixed id, watches its health.

import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { definePlugin, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { machineIdentity } from '../wire/identity.ts';
import { type BrokerPlan, brokerConfiguration } from './configuration.ts';
import { readLinks } from './links.ts';
import { tellNumbers } from './numbers.ts';
import { findNatsServer } from './program.ts';

interface Config {
  readonly identity?: string;
  readonly 'plugin.choria.network.listen_address': string;
  readonly 'plugin.choria.network.client_port': number;
  readonly 'plugin.choria.network.peers'?: readonly string[];
  readonly 'plugin.choria.network.peer_port': number;
  readonly 'plugin.choria.network.peer_user'?: string;
  readonly 'plugin.choria.network.peer_password'?: string;
  readonly 'plugin.choria.network.tls_timeout': number;
  readonly 'plugin.choria.network.write_deadline': number;
  readonly 'plugin.choria.network.stream.store'?: string;
  readonly 'plugin.choria.network.system.user': string;
  readonly 'plugin.choria.network.system.password'?: string;
  readonly 'plugin.choria.stats_port': number;
}

const processId = 'nats-server';
const readyMs = 10_000;
const pollMs = 50;
const firstBackoffMs = 200;
const maxBackoffMs = 10_000;
/** A broker that lived this long starts again at once. */
const stableMs = 60_000;

export default definePlugin({
  kind: 'service',
  version: '1.0.0',
  create: (host) => {
    const broker = new Broker(host);
    return {
      methods: { 'service/status': () => broker.status() },
      activate: () => broker.start(),
      shutdown: () => broker.stop(),
    };
  },
});

class Broker {
  readonly #host: Host;
  readonly #config: Config;
  #command: readonly string[] = [];
  #monitorPort = 0;
  #stopping = false;
  #backoffMs = firstBackoffMs;
  #startedAt = 0;
  #lastLine = '';

  constructor(host: Host) {
    this.#host = host;
    this.#config = host.config as unknown as Config;
  }

  async start(): Promise<void> {
    const [info, identity] = await Promise.all([
      this.#host.control.info(),
      this.#host.plugins.call('security', 'x509', 'security/identity', { role: 'server' }),
    ]);
    const { tls } = identity as { tls: BrokerPlan['tls'] };
    const program = findNatsServer(process.env, info.root ?? '');
    const folder = this.#host.stateFolder ?? '.';
    const running = (await this.#host.processes.list()).find(({ id }) => id === processId);
    await this.#refuseTakenPort(running !== undefined);
    this.#monitorPort = await monitorPort(folder, running !== undefined);
    const file = join(folder, 'nats-server.conf');
    writeFileSync(file, brokerConfiguration(this.#plan(tls)), { mode: 0o600 });
    this.#command = [program, '-c', file];
    // Equal to what runs already after a reload of this bundle: then it is left alone.
    await this.#launch();
    if (this.#config['plugin.choria.stats_port'] > 0) await this.#host.metrics.onCollect(() => this.#tellNumbers());
    if (running) {
      await this.#host.processes.signal(processId, 'SIGHUP');
    } else {
      // The host opens what was declared when activate is answered, so health is awaited afterwards.
      void this.#awaitReady();
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
  }

  async status(): Promise<{ healthy: boolean; summary: string; details: object }> {
    const healthy = await this.#isHealthy();
    const port = this.#config['plugin.choria.network.client_port'];
    return {
      healthy,
      summary: healthy ? `nats-server listens on port ${port}` : `nats-server does not answer: ${this.#lastLine}`,
      details: { port },
    };
  }

  #tellNumbers(): Promise<void> {
    const streams = this.#config['plugin.choria.network.stream.store'] !== undefined;
    return tellNumbers(this.#host.metrics, this.#monitorPort, machineIdentity(this.#config.identity), streams);
  }

  #plan(tls: BrokerPlan['tls']): BrokerPlan {
    const config = this.#config;
    const store = config['plugin.choria.network.stream.store'];
    if (store !== undefined) mkdirSync(store, { recursive: true, mode: 0o700 });
    const password = config['plugin.choria.network.system.password'];
    const clusterPort = config['plugin.choria.network.peer_port'];
    const links = readLinks(config as unknown as Readonly<Record<string, unknown>>, tls);
    const peers = clusterPort === 0 ? [] : (config['plugin.choria.network.peers'] ?? []);
    if (links.gateways && store !== undefined && peers.length === 0)
      throw new PluginError(
        'UNAVAILABLE',
        'a single broker can not keep streams beside gateways; join by leaf nodes (plugin.choria.network.leafnode_port), or leave out plugin.choria.network.stream.store',
      );
    return {
      name: machineIdentity(config.identity),
      listen: config['plugin.choria.network.listen_address'],
      port: config['plugin.choria.network.client_port'],
      monitorPort: this.#monitorPort,
      tls: { ...tls, timeoutMs: config['plugin.choria.network.tls_timeout'] },
      writeDeadlineMs: config['plugin.choria.network.write_deadline'],
      store,
      system: password === undefined ? undefined : { user: config['plugin.choria.network.system.user'], password },
      cluster:
        clusterPort === 0
          ? undefined
          : {
              port: clusterPort,
              peers,
              user: config['plugin.choria.network.peer_user'],
              password: config['plugin.choria.network.peer_password'],
            },
      links,
    };
  }

  async #launch(): Promise<void> {
    this.#startedAt = Date.now();
    await this.#host.processes.start(
      { id: processId, command: this.#command, output: 'lines', graceMs: 5_000 },
      { onOutput: ({ line }) => this.#log(line), onExit: ({ exitCode, signal }) => this.#exited(exitCode, signal) },
    );
  }

  #exited(exitCode: number | null, signal: string | null): void {
    if (this.#stopping) return;
    if (Date.now() - this.#startedAt > stableMs) this.#backoffMs = firstBackoffMs;
    this.#host.log.error(
      `nats-server ended (${signal ?? `exit ${exitCode}`}) and is started again in ${this.#backoffMs} ms; its last words: ${this.#lastLine}`,
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
    // The user without a password is who certificates stand for.
    if (text.startsWith('Plaintext passwords detected')) return;
    if (level === 'ERR' || level === 'FTL') this.#host.log.error(text);
    else if (level === 'WRN') this.#host.log.warn(text);
    else this.#host.log.debug(text);
  }

  async #awaitReady(): Promise<void> {
    const until = Date.now() + readyMs;
    while (Date.now() < until && !this.#stopping) {
      if (await this.#isHealthy()) {
        this.#host.log.info(`broker is ready on port ${this.#config['plugin.choria.network.client_port']}`);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    if (!this.#stopping)
      this.#host.log.error(`nats-server did not become healthy within ${readyMs} ms; its last words: ${this.#lastLine}`);
  }

  async #isHealthy(): Promise<boolean> {
    try {
      return (await fetch(`http://127.0.0.1:${this.#monitorPort}/healthz`, { signal: AbortSignal.timeout(1_000) })).ok;
    } catch {
      return false;
    }
  }

  async #refuseTakenPort(ours: boolean): Promise<void> {
    const port = this.#config['plugin.choria.network.client_port'];
    const host = this.#config['plugin.choria.network.listen_address'];
    if (ours || (await isFree(port, host))) return;
    throw new PluginError(
      'UNAVAILABLE',
      `port ${port} is taken by another program; choose another with plugin.choria.network.client_port`,
    );
  }
}

/** The port of the last start while that server runs, else a free one. */
async function monitorPort(folder: string, running: boolean): Promise<number> {
  const file = join(folder, 'monitor-port');
  if (running) {
    const { readFileSync } = await import('node:fs');
    return Number(readFileSync(file, 'utf8'));
  }
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
