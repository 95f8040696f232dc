// `fetch` with certificates of one's own choice, bounded in time and size; without TLS on this machine only.

import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

export interface FetchOptions {
  /** Certificates in PEM; without them those of the system. */
  readonly ca?: string | readonly string[] | undefined;
  readonly timeoutMs?: number;
}

/** What `fetch` is given here. */
export interface FetchInit {
  readonly method?: string | undefined;
  readonly headers?: ConstructorParameters<typeof Headers>[0];
  readonly body?: unknown;
  readonly signal?: AbortSignal | null | undefined;
}

/** Why something could not be fetched; the message names the host. */
export class FetchError extends Error {
  override readonly name = 'FetchError';
  readonly code = 'AAA_FETCH';
}

const usualMs = 8_000;
const mostBytes = 1024 * 1024;

/** Whether what is sent there can not be read on its way. */
export function isSafe({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || (protocol === 'http:' && /^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(hostname));
}

/** Redirects are handed back, not followed. @throws FetchError */
export async function fetchSafely(
  target: string | URL,
  { method = 'GET', headers, body, signal }: FetchInit = {},
  { ca, timeoutMs = usualMs }: FetchOptions = {},
): Promise<Response> {
  const url = new URL(target);
  if (!isSafe(url)) throw new FetchError(`${url.origin} has no TLS`);
  const bytes = body === undefined || body === null ? undefined : Buffer.from(String(body));
  const late = AbortSignal.timeout(timeoutMs);
  const options = {
    method,
    agent: false,
    headers: { ...Object.fromEntries(new Headers(headers)), ...(bytes && { 'content-length': bytes.length }) },
    signal: AbortSignal.any([late, ...(signal ? [signal] : [])]),
    ...(ca !== undefined && { ca: typeof ca === 'string' ? ca : [...ca] }),
  };
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options, resolve);
      call.once('error', reject);
      call.end(bytes);
    });
    const content = await readAll(response);
    const { statusCode: status = 0, headers: received } = response;
    const type = received['content-type'] ?? '';
    const answered = new Headers(type === '' ? {} : { 'content-type': type });
    for (const name of ['location', 'www-authenticate', 'date', 'dpop-nonce']) {
      const value = received[name];
      if (typeof value === 'string') answered.set(name, value);
    }
    const hasBody = status !== 204 && status !== 304;
    return new Response(hasBody ? Uint8Array.from(content) : null, { status, headers: answered });
  } catch (error) {
    signal?.throwIfAborted();
    const why = late.aborted ? `no answer within ${timeoutMs / 1_000} s` : (error as Error).message;
    throw new FetchError(`${url.origin} can not be asked: ${why}`, { cause: error });
  }
}

async function readAll(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > mostBytes) throw new FetchError(`its answer has more than ${mostBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
