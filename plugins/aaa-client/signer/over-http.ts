// Signatures over HTTP: of several services the next is asked if one can't be reached or fails, never because it refused.

import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { PluginError, printable } from '../../../core/sdk/typescript/index.ts';
import type { Tls } from '../login/http.ts';
import { refusedError } from './refused.ts';
import { type LoggedIn, signatureOf } from './token.ts';

/** For one service. */
const attemptMs = 8_000;
const mostBytes = 8 * 1024 * 1024;
const mostSockets = 16;
const idleMs = 4_000;
const gone = new Set(['ECONNRESET', 'EPIPE']);

export class HttpSigner {
  readonly #urls: readonly URL[];
  readonly #https: HttpsAgent;
  readonly #http = new HttpAgent({ keepAlive: true, maxSockets: mostSockets, timeout: idleMs });
  /** The one that answered last is asked first. */
  #first = 0;

  constructor(urls: readonly URL[], { verify, ca, cert, key }: Tls & { readonly verify: boolean }) {
    this.#urls = urls;
    const options = { ca, cert, key, rejectUnauthorized: verify, minVersion: 'TLSv1.2' as const };
    this.#https = new HttpsAgent({ ...options, keepAlive: true, maxSockets: mostSockets, timeout: idleMs });
  }

  close(): void {
    this.#https.destroy();
    this.#http.destroy();
  }

  /** @throws PluginError where it is refused, and where nobody signs */
  async sign(request: string, loggedIn: LoggedIn, signal: AbortSignal): Promise<string> {
    const body = JSON.stringify({
      token: loggedIn.token,
      request: Buffer.from(request).toString('base64'),
      signature: signatureOf(request, loggedIn),
    });
    const problems: string[] = [];
    const first = this.#first;
    for (let tried = 0; tried < this.#urls.length; tried += 1) {
      const at = (first + tried) % this.#urls.length;
      const url = this.#urls[at] as URL;
      try {
        const secure = await this.#ask(url, body, signal);
        this.#first = at;
        return secure;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof PluginError) throw error;
        problems.push(`${url.origin}: ${(error as Error).message}`);
      }
    }
    throw new PluginError('UNAVAILABLE', `no service signs requests now: ${printable(problems.join('; '))}`);
  }

  /** @throws Error where another service may do better, PluginError where it may not */
  async #ask(url: URL, body: string, signal: AbortSignal): Promise<string> {
    const isTls = url.protocol === 'https:';
    const options = {
      method: 'POST',
      agent: isTls ? this.#https : this.#http,
      headers: { accept: 'application/json', 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      signal: AbortSignal.any([AbortSignal.timeout(attemptMs), signal]),
    };
    const attempt = () =>
      new Promise<IncomingMessage | undefined>((resolve, reject) => {
        const call = (isTls ? requestHttps : requestHttp)(url, options, resolve);
        // A service may give up a connection that was kept while the call is on its way. What it did sign it would not sign again.
        call.once('error', (error: NodeJS.ErrnoException) =>
          call.reusedSocket && gone.has(error.code ?? '') ? resolve(undefined) : reject(error),
        );
        call.end(body);
      }).catch((error: Error) => {
        throw error.name === 'TimeoutError' ? new Error(`no answer within ${attemptMs / 1_000} s`) : error;
      });
    let response: IncomingMessage | undefined;
    while (!response) response = await attempt();
    const { statusCode: status = 0 } = response;
    const text = await readText(response);
    if (status >= 500) throw new Error(`it answers with status ${status}`);
    return readAnswer(url, status, text);
  }
}

/** @throws Error where the fault is the service's, PluginError for a refusal */
function readAnswer(url: URL, status: number, text: string): string {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = undefined;
  }
  if (typeof answer !== 'object' || answer === null || status !== 200)
    throw new PluginError(
      'UNAVAILABLE',
      `${url.origin} is no signer: it answers with status ${status}${status === 200 ? ' and no JSON' : ''}`,
    );
  const { secure_request: secure, error, reason, fault } = answer as Readonly<Record<string, unknown>>;
  if (typeof fault === 'string') throw new Error(`it can not sign now (${fault})`);
  if (typeof error === 'string' && error !== '') throw refusedError(error, reason);
  if (typeof secure === 'string' && secure !== '') return Buffer.from(secure, 'base64').toString('utf8');
  throw new PluginError('UNAVAILABLE', `${url.origin} answered neither with a signature nor with an error`);
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > mostBytes) throw new PluginError('UNAVAILABLE', `the answer of the signer has more than ${mostBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
