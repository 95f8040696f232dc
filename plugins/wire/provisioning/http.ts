// Requests to the HTTP interfaces of certificate authorities: JSON out, JSON in, bounded in time and size.

import { readFileSync } from 'node:fs';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { HookError } from './errors.ts';

export interface Api {
  /** Such as `https://ca.example.net:8888`. */
  readonly url: string;
  /** File with the certificates that an https server is trusted by; without it those of the system. */
  readonly trustFile?: string | undefined;
  /** Beside the one in which it is JSON. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body: unknown;
}

const mostBytes = 1024 * 1024;
const defaultMs = 8_000;

/** @throws HookError `HOOK_AUTHORITY` if there is no answer, or none in JSON */
export async function callApi(
  { url, trustFile, headers = {} }: Api,
  { method = 'POST', path, body }: { readonly method?: 'GET' | 'POST'; readonly path: string; readonly body?: object },
  signal?: AbortSignal,
): Promise<ApiAnswer> {
  const target = new URL(path, url.endsWith('/') ? url : `${url}/`);
  const text = body === undefined ? '' : JSON.stringify(body);
  const options = {
    method,
    headers: {
      ...headers,
      accept: 'application/json',
      ...(text !== '' && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    },
    signal: AbortSignal.any([AbortSignal.timeout(defaultMs), ...(signal ? [signal] : [])]),
    ...(trustFile !== undefined && { ca: readFileSync(trustFile) }),
  };
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = (target.protocol === 'https:' ? requestHttps : requestHttp)(target, options, resolve);
      call.once('error', reject);
      call.end(text);
    });
    return { status: response.statusCode ?? 0, body: parse(await readAll(response)) };
  } catch (error) {
    if (error instanceof HookError) throw error;
    const why = (error as Error).name === 'TimeoutError' ? `no answer within ${defaultMs / 1_000} s` : (error as Error).message;
    throw new HookError('HOOK_AUTHORITY', `${target.origin} can not be asked: ${why}`, { cause: error });
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > mostBytes) throw new HookError('HOOK_AUTHORITY', `its answer has more than ${mostBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What is not JSON is text, for the error that follows. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** A member of an answer that has to be text. @throws HookError `HOOK_AUTHORITY` */
export function textAt(value: unknown, ...path: readonly string[]): string {
  const found = path.reduce<unknown>(
    (at, name) => (typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[name] : undefined),
    value,
  );
  if (typeof found === 'string' && found !== '') return found;
  throw new HookError('HOOK_AUTHORITY', `its answer has no ${path.join('.')}: ${JSON.stringify(value).slice(0, 160)}`);
}

/** A secret in a file, without the line's end. @throws HookError `HOOK_CONFIG` */
export function readSecret(file: string | undefined, key: string): string {
  if (!file) throw new HookError('HOOK_CONFIG', `${key} is not set`);
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new HookError('HOOK_CONFIG', `${key}: ${(error as Error).message}`, { cause: error });
  }
}

/** @throws HookError `HOOK_CONFIG` */
export function required(value: string | undefined, key: string): string {
  if (value) return value;
  throw new HookError('HOOK_CONFIG', `${key} is not set`);
}
