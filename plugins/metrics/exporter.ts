// Numbers over HTTP: a small listener in front of the host's metrics.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { availableParallelism } from 'node:os';
import { Counter, Gauge, Registry } from 'prom-client';
import type { Host, ListedMetric } from '../../core/sdk/typescript/index.ts';
import { machineIdentity } from '../wire/identity.ts';

export interface Place {
  readonly port: number;
  readonly address: string;
  /** What another port is chosen by. */
  readonly key: string;
  /** Whose state is told. */
  readonly service?: string;
}

/** A client that is slower than this is cut off. */
const requestMs = 10_000;
const retryMs = 1_000;
const statusMs = 2_000;

export class Exporter {
  readonly #host: Host;
  readonly #identity: string;
  readonly #place: Place;
  readonly #server: Server;
  #told = '';

  constructor(host: Host, place: Place) {
    this.#host = host;
    this.#identity = machineIdentity(host.config.identity as string | undefined);
    this.#place = place;
    this.#server = createServer({ requestTimeout: requestMs, headersTimeout: requestMs }, (request, response) => {
      this.#answer(request, response).catch((error: Error) => {
        host.log.error(`the numbers could not be shown: ${error.message}`);
        send(response, 500, 'text/plain', 'the numbers could not be shown; the log says why\n');
      });
    });
  }

  get address(): string {
    const { address, port } = this.#place;
    return `http://${address.includes(':') ? `[${address}]` : address}:${port}/metrics`;
  }

  async start(): Promise<void> {
    await this.#host.metrics.onCollect(() => this.#tellBuild());
    await this.#tryToListen();
  }

  /** A port that is taken may become free: by the version before this one, if by nobody else. */
  async #tryToListen(): Promise<void> {
    const { address, port, key } = this.#place;
    try {
      await listen(this.#server, port, address);
      this.#host.log.info(`numbers for Prometheus are at ${this.address}`);
    } catch (error) {
      this.#tellOnce(
        `${address}:${port} can not be listened on for numbers: ${(error as Error).message}; free it, or choose another ${key}`,
      );
      await this.#host.timers.set({ id: 'listen', afterMs: retryMs }, () => this.#tryToListen());
    }
  }

  #tellOnce(problem: string): void {
    if (problem !== this.#told) this.#host.log.warn(problem);
    this.#told = problem;
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      send(response, 405, 'text/plain', 'only GET is answered\n');
      return;
    }
    switch (new URL(request.url ?? '/', 'http://localhost').pathname) {
      case '/metrics':
      case '/choria/prometheus':
      case '/choria/metrics': {
        const registry = registryOf(await this.#host.metrics.list());
        send(response, 200, registry.contentType, await registry.metrics());
        return;
      }
      case '/healthz':
      case '/readyz':
        if (this.#place.service === undefined) break;
        await this.#tellHealth(response, this.#place.service, request.url === '/readyz');
        return;
      case '/choria/':
        send(response, 200, 'application/json', JSON.stringify(await this.#about()));
        return;
    }
    send(response, 404, 'text/plain', 'there are /metrics, /choria/prometheus, /choria/metrics and /choria/\n');
  }

  /** It is alive as long as it answers, and ready when it can do its work. */
  async #tellHealth(response: ServerResponse, service: string, ready: boolean): Promise<void> {
    try {
      const told = await this.#host.plugins.call('service', service, 'service/status', {}, { deadlineMs: statusMs });
      const { healthy, summary } = told as { healthy: boolean; summary: string };
      send(response, ready && !healthy ? 503 : 200, 'application/json', JSON.stringify({ ready: healthy, summary }));
    } catch (error) {
      send(response, 503, 'application/json', JSON.stringify({ ready: false, summary: (error as Error).message }));
    }
  }

  async #tellBuild(): Promise<void> {
    const { version } = await this.#host.control.info();
    const labels = { version, sha: '', identity: this.#identity };
    await this.#host.metrics.set('choria_build_info', 1, labels, { type: 'counter', help: 'The version that runs' });
  }

  async #about(): Promise<object> {
    const { version, node, configFile } = await this.#host.control.info();
    return {
      build: { version, license: 'Apache-2.0', tls: true, secure: true, node },
      system: { rss: process.memoryUsage.rss(), cpu_cores: availableParallelism() },
      config_file: configFile ?? '',
      identity: this.#identity,
    };
  }
}

function listen(server: Server, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Numbers as they are now. What is shown belongs to one scrape, so nothing is kept from one to the next. */
function registryOf(metrics: readonly ListedMetric[]): Registry {
  const registry = new Registry();
  for (const { name, type, help, values } of metrics) {
    const labelNames = [...new Set(values.flatMap(({ labels }) => Object.keys(labels)))];
    const about = { name, help: help || name, labelNames, registers: [registry] };
    if (type === 'counter') {
      const counter = new Counter(about);
      for (const { labels, value } of values) counter.inc(labels, Math.max(0, value));
    } else {
      const gauge = new Gauge(about);
      for (const { labels, value } of values) gauge.set(labels, value);
    }
  }
  return registry;
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type });
  response.end(body);
}
