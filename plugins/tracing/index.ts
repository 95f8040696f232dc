// Gathers spans, of requests and of the host's calls, and sends them to a collector. A few lines in place of OpenTelemetry's
// own SDK, which would cost every node more memory than all that is here.

import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { hostname } from 'node:os';
import { definePlugin, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { machineIdentity } from '../wire/identity.ts';
import type { Span } from '../wire/trace.ts';
import { exportBody, fromCall, fromSpan, type OtlpSpan } from './otlp.ts';

const maxWaiting = 2_048;
const perExport = 512;
const gatherMs = 1_000;
const exportMs = 5_000;
/** The last export must not hold up the end of a host. */
const lastExportMs = 2_000;

export default definePlugin({
  kind: 'tracer',
  version: '1.0.0',
  create: (host) => {
    const tracer = new Tracer(host);
    return {
      methods: { 'tracer/record': ({ spans }: { spans: readonly Span[] }) => tracer.record(spans) },
      activate: () => tracer.start(),
      shutdown: () => tracer.stop(),
    };
  },
});

class Tracer {
  readonly #host: Host;
  #endpoint: URL | undefined;
  #version = '';
  #waiting: OtlpSpan[] = [];
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #told = '';

  constructor(host: Host) {
    this.#host = host;
  }

  /** @throws PluginError if the endpoint is no URL */
  async start(): Promise<void> {
    this.#endpoint = readEndpoint(this.#host.config['plugin.muster.otlp_endpoint']);
    this.#version = (await this.#host.control.info()).version;
    await this.#host.traces.watch((span) => this.#add(fromCall(span)));
  }

  record(spans: readonly Span[]): object {
    for (const span of spans) this.#add(fromSpan(span));
    return {};
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#sending;
    clearTimeout(this.#timer);
    await this.#export(lastExportMs);
  }

  #add(span: OtlpSpan): void {
    if (this.#waiting.length >= maxWaiting) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(span);
    if (this.#sending) return;
    if (this.#waiting.length === perExport) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), gatherMs).unref();
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending = this.#export(exportMs).finally(() => {
      this.#sending = undefined;
      if (this.#waiting.length > 0) this.#timer ??= setTimeout(() => this.#send(), gatherMs).unref();
    });
  }

  /** What the collector does not take waits for the next time. */
  async #export(timeoutMs: number): Promise<void> {
    const spans = this.#waiting.slice(0, perExport);
    if (spans.length === 0 || !this.#endpoint) return;
    const identity = machineIdentity(this.#host.config.identity as string | undefined);
    const resource = { 'service.name': 'muster', 'service.instance.id': identity, 'host.name': hostname() };
    try {
      await post(this.#endpoint, exportBody(spans, resource, this.#version), timeoutMs);
      this.#waiting = this.#waiting.slice(spans.length);
      if (this.#told !== '') this.#host.log.info(`the collector takes spans again; ${this.#dropped} were dropped meanwhile`);
      this.#told = '';
      this.#dropped = 0;
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#told) this.#host.log.warn(`${this.#endpoint.href} does not take spans: ${message}`);
      this.#told = message;
    }
  }
}

/** A collector's own path is added where there is none. */
function readEndpoint(text: unknown): URL {
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new PluginError(
      'UNAVAILABLE',
      `plugin.muster.otlp_endpoint must be a URL such as http://127.0.0.1:4318, not '${String(text)}'`,
    );
  if (url.pathname === '/') url.pathname = '/v1/traces';
  return url;
}

function post(url: URL, body: string, timeoutMs: number): Promise<void> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
        signal: AbortSignal.timeout(timeoutMs),
      },
      (response) => {
        response.resume();
        const { statusCode = 0 } = response;
        if (statusCode >= 200 && statusCode < 300) resolve();
        else reject(new Error(`it answered ${statusCode}`));
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
