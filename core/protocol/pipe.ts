// The carrier of processes and sockets: one JSON object a line over a pair of streams.

import type { Readable, Writable } from 'node:stream';
import { decodeBytes, encodeBytes, type Path, pathsOf } from './bytes.ts';
import { PluginError } from './errors.ts';
import { LineReader, LineWriter } from './lines.ts';
import { type BytePaths, defaultMaxLineBytes, forwarded, type Message, notifications } from './messages.ts';
import type { Carrier, Receiver } from './peer.ts';

const maxRemembered = 8192;

export interface PipeCarrierOptions {
  readonly input: Readable;
  readonly output: Writable;
  /** Longest line that is accepted. */
  readonly maxLineBytes?: number;
  /** Where bytes are, by method. */
  readonly bytes?: BytePaths;
}

export class PipeCarrier implements Carrier {
  readonly #options: PipeCarrierOptions;
  readonly #writer: LineWriter;
  #bytes: BytePaths;
  #convertsBytes: boolean;
  #peerMaxLineBytes = defaultMaxLineBytes;
  #receiver: Receiver | undefined;
  // Answers carry no method, so the methods of calls with bytes are kept until they are answered, for each direction.
  readonly #sent = new Map<unknown, string>();
  readonly #received = new Map<unknown, string>();

  constructor(options: PipeCarrierOptions) {
    this.#options = options;
    this.#bytes = options.bytes ?? {};
    this.#convertsBytes = Object.keys(this.#bytes).length > 0;
    this.#writer = new LineWriter(options.output);
  }

  /** What the other side said in the handshake. */
  agree({ maxLineBytes, bytes }: { maxLineBytes?: number | undefined; bytes?: BytePaths | undefined }): void {
    if (maxLineBytes !== undefined) this.#peerMaxLineBytes = maxLineBytes;
    if (bytes !== undefined) {
      this.#bytes = bytes;
      this.#convertsBytes = Object.keys(bytes).length > 0;
    }
  }

  send(message: Message): Promise<void> | undefined {
    const line = write(this.#convertsBytes ? this.#outgoing(message) : message);
    const cap = this.#peerMaxLineBytes;
    if (line.length * 3 > cap && Buffer.byteLength(line) > cap) {
      throw new PluginError(
        'TOO_LARGE',
        `the message has ${Buffer.byteLength(line)} bytes, the other side accepts ${cap}; hand it over in a file`,
      );
    }
    return this.#writer.send(line);
  }

  start(receiver: Receiver): void {
    this.#receiver = receiver;
    const { input, output, maxLineBytes = defaultMaxLineBytes } = this.#options;
    const reader = new LineReader({
      maxLineBytes,
      onLine: (line) => this.#line(line),
      onOversized: (start) => this.#receiver?.violation('TOO_LARGE', start),
      onNotUtf8: (line) => this.#receiver?.violation('ENCODING', line.slice(0, 80)),
    });
    input.on('data', (chunk: Buffer) => reader.push(chunk));
    input.on('end', () => this.#receiver?.closed(new Error('the other side closed its output')));
    input.on('error', (error) => this.#receiver?.closed(error));
    // Without a listener, a write to a process that has ended (EPIPE) would end this process too.
    output.on('error', (error) => this.#receiver?.closed(error));
  }

  close(): void {
    this.#writer.flush();
    this.#receiver = undefined;
  }

  #line(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      if (line.trim() !== '') this.#receiver?.violation('PARSE', line.slice(0, 80));
      return;
    }
    this.#receiver?.message(this.#convertsBytes ? this.#incoming(message) : message);
  }

  #outgoing(message: Message): unknown {
    if ('method' in message) {
      const method = meantMethod(message.method, message.params);
      if ('id' in message && this.#answersBytes(method)) remember(this.#sent, message.id, method);
      if (message.method === notifications.progress) return this.#progress(message, this.#received, encodeBytes);
      const paths = this.#paramsPaths(message.method, method);
      return paths.length === 0 ? message : { ...message, params: encodeBytes(message.params, paths) };
    }
    const method = take(this.#received, message.id);
    if (method === undefined || message.error) return message;
    return { ...message, result: encodeBytes(message.result, pathsOf(this.#bytes, method, 'result')) };
  }

  #incoming(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value;
    const message = value as { id?: unknown; method?: unknown; params?: unknown; result?: unknown };
    if (typeof message.method === 'string') {
      const method = meantMethod(message.method, message.params);
      if (message.id !== undefined && this.#answersBytes(method)) remember(this.#received, message.id, method);
      if (message.method === notifications.progress) return this.#progress(value as Message, this.#sent, decodeBytes);
      const paths = this.#paramsPaths(message.method, method);
      return paths.length === 0 ? value : { ...message, params: decodeBytes(message.params, paths) };
    }
    const method = take(this.#sent, message.id);
    if (method === undefined || message.result === undefined) return value;
    return { ...message, result: decodeBytes(message.result, pathsOf(this.#bytes, method, 'result')) };
  }

  #paramsPaths(method: string, meant: string): readonly Path[] {
    const paths = pathsOf(this.#bytes, meant, 'params');
    return method === meant || paths.length === 0 ? paths : paths.map((path) => ['params', ...path]);
  }

  #answersBytes(method: string): boolean {
    const places = this.#bytes[method];
    return places?.result !== undefined || places?.progress !== undefined;
  }

  #progress(message: Message, methods: Map<unknown, string>, convert: typeof encodeBytes): unknown {
    // What the other side sent is not looked at yet, and may be anything.
    const params = ('params' in message ? message.params : undefined) as { id?: unknown; value?: unknown } | null | undefined;
    if (typeof params !== 'object' || params === null) return message;
    const method = methods.get(params.id);
    if (method === undefined) return message;
    return { ...message, params: { ...params, value: convert(params.value, pathsOf(this.#bytes, method, 'progress')) } };
  }
}

function write(message: unknown): string {
  try {
    return JSON.stringify(message);
  } catch (error) {
    if (error instanceof RangeError)
      throw new PluginError('TOO_LARGE', 'the message is nested too deep to be written; flatten it', { cause: error });
    throw error;
  }
}

/** The method whose values a request carries: of a call that is handed on, the one that is called in the end. */
function meantMethod(method: string, params: unknown): string {
  if (method !== forwarded) return method;
  const inner = (params as { method?: unknown } | undefined)?.method;
  return typeof inner === 'string' ? inner : method;
}

/** A call that is never answered leaves its entry behind; the oldest goes when there are too many. */
function remember(methods: Map<unknown, string>, id: unknown, method: string): void {
  if (methods.size >= maxRemembered) methods.delete(methods.keys().next().value);
  methods.set(id, method);
}

function take(methods: Map<unknown, string>, id: unknown): string | undefined {
  const method = methods.get(id);
  if (method !== undefined) methods.delete(id);
  return method;
}
