// Requests to login services: the next is asked only if one can not be reached, never because it refused.

import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { printable } from '../../../core/sdk/typescript/index.ts';
import { LoginError } from './errors.ts';

/** Who vouches for the service, and what is shown to one that asks for a certificate. */
export interface Tls {
  /** Certificates in PEM; without them those of the system. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: unknown;
}

export interface Ask {
  readonly method: 'GET' | 'POST';
  readonly body?: object;
  readonly signal?: AbortSignal | undefined;
}

const deadlineMs = 45_000;
const mostBytes = 1024 * 1024;

/** The service was not reached, so that nothing of the request left. */
class NotReached extends Error {}

/**
 * Asks the first of these that can be reached.
 * @throws LoginError `LOGIN_UNREACHABLE` with what each of them said
 */
export async function askFirst(urls: readonly URL[], ask: Ask, tls: Tls): Promise<HttpAnswer> {
  const problems: string[] = [];
  for (const url of urls) {
    try {
      return await askOne(url, ask, tls);
    } catch (error) {
      if (!(error instanceof NotReached)) throw error;
      problems.push(`${url.origin}: ${error.message}`);
    }
  }
  const why = printable(problems.join('; '));
  const hint = /certificate/.test(why) ? '; plugin.muster.login.ca names the authorities that it is verified with' : '';
  throw new LoginError('LOGIN_UNREACHABLE', `no login service can be reached: ${why}${hint}`);
}

async function askOne(url: URL, { method, body, signal }: Ask, tls: Tls): Promise<HttpAnswer> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const isTls = url.protocol === 'https:';
  const late = AbortSignal.timeout(deadlineMs);
  const options = {
    method,
    agent: false,
    headers: {
      accept: 'application/json',
      ...(text !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    },
    signal: AbortSignal.any([late, ...(signal ? [signal] : [])]),
    ...(isTls && { ca: tls.ca, cert: tls.cert, key: tls.key, minVersion: 'TLSv1.2' as const }),
  };
  let isConnected = false;
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = (isTls ? requestHttps : requestHttp)(url, options, resolve);
      call.once('socket', (socket) =>
        socket.once(isTls ? 'secureConnect' : 'connect', () => {
          isConnected = true;
        }),
      );
      call.once('error', reject);
      call.end(text);
    });
    return { status: response.statusCode ?? 0, body: await readJson(response) };
  } catch (error) {
    if (error instanceof LoginError) throw error;
    signal?.throwIfAborted();
    const why = late.aborted ? `no answer within ${deadlineMs / 1_000} s` : (error as Error).message;
    if (!isConnected) throw new NotReached(why);
    throw new LoginError('LOGIN_UNREACHABLE', `${url.origin} did not answer: ${printable(why)}`, { cause: error });
  }
}

async function readJson(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > mostBytes)
      throw new LoginError('LOGIN_ANSWER', `the answer of the login service has more than ${mostBytes} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}
