// The listener of logins and signatures. It reads calls with their limits, answers what is no call of ours as Choria's service
// does, and hands the rest to routes. By node:https, whose limits are all that is needed, and since the exact answers are a
// part of the interface.

import { readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { BlockList, Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import type { Answer, Call, Route } from './route.ts';

const mostBodyBytes = 2 * 1024 * 1024;
/** Of all calls, from their first byte to their answer. */
const mostBytesAtOnce = 256 * 1024 * 1024;
const mostHeaderBytes = 16 * 1024;
/** Whoever is slower than this is cut off: with the handshake, with the headers, with the whole call. */
const handshakeMs = 10_000;
const headersMs = 10_000;
const callMs = 20_000;
const keepAliveMs = 5_000;
const lookAtSlowMs = 1_000;
const mostCallsOfConnection = 10_000;
/** For calls that run when it stops. */
const drainMs = 15_000;

export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  /** Whose certificates clients have, and whether each must show one. */
  readonly clients?: { readonly ca: string; readonly required: boolean };
}

export interface ListenerSpec {
  readonly port: number;
  /** Without it all addresses. */
  readonly address?: string;
  /** Without it plain HTTP. */
  readonly tls?: TlsFiles;
  readonly routes: readonly Route[];
  /** Without it everybody. */
  readonly allowed?: BlockList;
  readonly mostConnections: number;
  readonly onTrouble: (message: string) => void;
}

interface Connection {
  readonly socket: Socket;
  busy: boolean;
}

/** Why a call is answered with something other than what it asked for. */
class Refusal extends Error {
  readonly status: number;
  readonly code: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, { code = status, headers = {} as Readonly<Record<string, string>> } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

export class HttpListener {
  readonly #spec: ListenerSpec;
  readonly #server: Server & { setSecureContext?: (options: SecureContextOptions) => void };
  readonly #ending = new AbortController();
  /** In the order in which they came, by address and port of the client. */
  readonly #connections = new Map<string, Connection>();
  readonly #running = new Set<Promise<void>>();
  #bytes = 0;
  #filesAt = '';
  #told = '';

  /** @throws Error for a certificate or key that can't be used */
  constructor(spec: ListenerSpec) {
    this.#spec = spec;
    const limits = {
      headersTimeout: headersMs,
      requestTimeout: callMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: lookAtSlowMs,
      maxHeaderSize: mostHeaderBytes,
      noDelay: true,
    };
    const onCall = (request: IncomingMessage, response: ServerResponse) => this.#call(request, response);
    this.#server = spec.tls
      ? createTlsServer({ ...limits, handshakeTimeout: handshakeMs, ...tlsOptions(spec.tls) }, onCall)
      : createServer(limits, onCall);
    this.#filesAt = spec.tls ? ageOf(spec.tls) : '';
    this.#server.maxRequestsPerSocket = mostCallsOfConnection;
    this.#server.on('connection', (socket: Socket) => this.#connected(socket));
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => answerUnreadable(error, socket as Socket));
  }

  /** @throws Error if the port can't be had */
  async start(): Promise<void> {
    const { port, address } = this.#spec;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port, ...(address !== undefined && { host: address }) }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) => this.#spec.onTrouble(error.message));
        resolve();
      });
    });
  }

  /** Takes no more calls, and ends when those that run have their answers. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const { socket, busy } of this.#connections.values()) if (!busy) socket.destroy();
    const timer = setTimeout(() => this.#ending.abort(new Error('the service stops')), drainMs);
    await Promise.allSettled(this.#running);
    clearTimeout(timer);
    this.#ending.abort(new Error('the service stops'));
    for (const { socket } of this.#connections.values()) socket.destroySoon();
    await closed;
  }

  /** Takes up certificate and key that were replaced. Those that do not belong together are left where they are. */
  renewCertificate(): void {
    const { tls, onTrouble } = this.#spec;
    if (!tls) return;
    try {
      const now = ageOf(tls);
      if (now === this.#filesAt) return;
      this.#server.setSecureContext?.(tlsOptions(tls));
      this.#filesAt = now;
      this.#told = '';
    } catch (error) {
      const problem = `the certificate ${tls.certificate} can not be taken up, the one before it stays: ${(error as Error).message}`;
      if (problem !== this.#told) onTrouble(problem);
      this.#told = problem;
    }
  }

  #connected(socket: Socket): void {
    const address = plainAddress(socket.remoteAddress);
    const { allowed, mostConnections } = this.#spec;
    if (allowed && !allowed.check(address, address.includes(':') ? 'ipv6' : 'ipv4')) {
      socket.destroy();
      return;
    }
    // Room is made by whoever has waited longest without a call: slow clients must not keep others away.
    if (this.#connections.size >= mostConnections) {
      const [, oldest] = [...this.#connections].find(([, { busy }]) => !busy) ?? [];
      (oldest?.socket ?? socket).destroy();
      if (!oldest) return;
    }
    const key = keyOf(socket);
    this.#connections.set(key, { socket, busy: false });
    socket.once('close', () => this.#connections.delete(key));
    // Resets of clients are nobody's trouble.
    socket.on('error', () => socket.destroy());
  }

  #call(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(keyOf(request.socket));
    const running = this.#answer(request, response, connection).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #answer(request: IncomingMessage, response: ServerResponse, connection: Connection | undefined): Promise<void> {
    const held = { bytes: 0 };
    try {
      const route = findRoute(this.#spec.routes, request);
      checkTypes(route, request);
      const body = route.method === 'GET' ? undefined : await this.#read(request, held);
      if (connection) connection.busy = true;
      const address = plainAddress(request.socket.remoteAddress);
      const call = new Received(body, address, response, this.#ending.signal);
      const answer = route.accepts?.(body) === false ? undefined : await route.handle(call);
      if (!answer) throw new Refusal(400, 'the body does not fit what this call takes');
      send(response, answer, route.type);
    } catch (error) {
      this.#refuse(request, response, error);
    } finally {
      this.#bytes -= held.bytes;
      if (connection) connection.busy = false;
    }
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (response.destroyed) return;
    if (!(error instanceof Refusal)) {
      this.#spec.onTrouble(`a call could not be answered: ${(error as Error).message}`);
      send(response, { status: 500, body: { code: 500, message: 'the service could not answer; its log says why' } });
      return;
    }
    const { status, code, message, headers } = error;
    // Of a client that is gone there is none, and none after the answer.
    const { socket } = response;
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    // What was not read of it would be taken for the next call.
    if (!request.complete) response.setHeader('connection', 'close');
    send(response, { status, body: { code, message } });
    if (request.complete) return;
    request.resume();
    socket?.destroySoon();
  }

  async #read(request: IncomingMessage, held: { bytes: number }): Promise<unknown> {
    if (Number(request.headers['content-length']) > mostBodyBytes) throw tooLarge();
    const chunks: Buffer[] = [];
    const take = (chunk: Buffer) => {
      held.bytes += chunk.length;
      this.#bytes += chunk.length;
      if (held.bytes > mostBodyBytes) throw tooLarge();
      if (this.#bytes > mostBytesAtOnce) throw new Refusal(503, 'too much is being worked on at once; try again');
      chunks.push(chunk);
    };
    await takeAll(request, take);
    if (held.bytes === 0) throw new Refusal(422, 'a body is required', { code: 602 });
    return parseJson(Buffer.concat(chunks).toString('utf8'));
  }
}

/** A call that was read. Its signal is made when it is asked for: it is dear, and signatures need none. */
class Received implements Call {
  readonly body: unknown;
  readonly address: string;
  readonly #response: ServerResponse;
  readonly #ending: AbortSignal;
  #signal: AbortSignal | undefined;

  constructor(body: unknown, address: string, response: ServerResponse, ending: AbortSignal) {
    [this.body, this.address, this.#response, this.#ending] = [body, address, response, ending];
  }

  get signal(): AbortSignal {
    this.#signal ??= this.#watched();
    return this.#signal;
  }

  #watched(): AbortSignal {
    const gone = new AbortController();
    const leave = () => gone.abort(new Error('the client went away'));
    if (this.#response.closed || this.#response.destroyed) leave();
    else this.#response.once('close', leave);
    return AbortSignal.any([gone.signal, this.#ending]);
  }
}

/** Resolves when all of a body was taken. By events, which cost half of what an iterator does. @throws what `take` throws */
function takeAll(request: IncomingMessage, take: (chunk: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      try {
        take(chunk);
      } catch (error) {
        // The rest passes by until the connection is closed.
        request.removeAllListeners('data');
        reject(error as Error);
      }
    });
    request.once('end', resolve);
    request.once('close', () => reject(new Error('the client went away')));
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Refusal(400, 'the body is not JSON');
  }
}

function tooLarge(): Refusal {
  return new Refusal(413, `a body has ${mostBodyBytes} bytes at most`);
}

/** @throws Refusal 404, 405 */
function findRoute(routes: readonly Route[], { url = '/', method = '' }: IncomingMessage): Route {
  const [path = ''] = url.split('?');
  const found = routes.find((route) => route.path === path && route.method === method);
  if (found) return found;
  const here = routes.filter((route) => route.path === path);
  if (here.length === 0) throw new Refusal(404, 'there is nothing at this path');
  const allow = here.map((route) => route.method).join(', ');
  throw new Refusal(405, `this path takes ${allow} only`, { headers: { allow } });
}

/** @throws Refusal 415, 406 */
function checkTypes({ method, type }: Route, { headers }: IncomingMessage): void {
  const [sent = ''] = (headers['content-type'] ?? '').split(';');
  if (method === 'POST' && !/^\s*application\/json\s*$/i.test(sent))
    throw new Refusal(415, 'a body is to be of application/json');
  const { accept } = headers;
  const made = type ?? 'application/json';
  const taken = ['*/*', `${made.split('/')[0]}/*`, made];
  const isTaken = (range: string) =>
    taken.includes(range.split(';')[0]?.trim().toLowerCase() ?? '') && !/;\s*q=0(\.0*)?\s*$/.test(range);
  if (accept !== undefined && accept.trim() !== '' && !accept.split(',').some(isTaken))
    throw new Refusal(406, `answers are of ${made}`);
}

function send(response: ServerResponse, { status, body }: Answer, type?: Route['type']): void {
  if (response.destroyed || response.headersSent) return;
  // As a text it goes out in one piece with the headers.
  const text = type === undefined ? JSON.stringify(body) : String(body);
  const headers = { 'content-length': Buffer.byteLength(text), 'cache-control': 'no-store' };
  response.writeHead(status, type === undefined ? { 'content-type': 'application/json', ...headers } : { ...page, ...headers });
  response.end(text);
}

/** Of a page that loads nothing and runs nothing. */
const page = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
};

const unreadable: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

function answerUnreadable({ code = '' }: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  socket.end(`HTTP/1.1 ${unreadable[code] ?? '400 Bad Request'}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  socket.destroySoon();
}

function tlsOptions({ certificate, key, clients }: TlsFiles) {
  return {
    cert: readFileSync(certificate),
    key: readFileSync(key),
    minVersion: 'TLSv1.2' as const,
    // Choria's clients offer P-256 only.
    ecdhCurve: 'X25519:P-256',
    ciphers: [
      'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
      'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384',
      'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305',
    ].join(':'),
    ALPNProtocols: ['http/1.1'],
    ...(clients && { ca: readFileSync(clients.ca), requestCert: true, rejectUnauthorized: clients.required }),
  };
}

function ageOf({ certificate, key, clients }: TlsFiles): string {
  const files = [certificate, key, ...(clients ? [clients.ca] : [])];
  return files
    .map((file) => statSync(file))
    .map(({ mtimeMs, size, ino }) => `${mtimeMs}:${size}:${ino}`)
    .join();
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}

/** IPv4 addresses look like one also where the socket takes both. */
function plainAddress(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:(?=\d+\.)/, '');
}
