// One plugin process, spoken to by hand: raw bytes in, and everything that it printed, kept.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { startChild } from '../host/child.ts';
import { distributionRoot } from '../host/distribution.ts';
import { childEnvironment } from '../host/environment.ts';
import { commandOf, type PluginSpec } from '../host/spec.ts';
import { climbStopLadder, hasEnded, signalGroup } from '../host/stop-ladder.ts';
import type { Contract } from '../protocol/contract.ts';
import { LineReader } from '../protocol/lines.ts';
import { defaultMaxLineBytes, type ErrorBody, protocolVersion } from '../protocol/messages.ts';
import { staysBehind } from './leftovers.ts';
import { sampleOf } from './sample.ts';

export interface Response {
  readonly id: number | string | null;
  readonly result?: unknown;
  readonly error?: ErrorBody;
}

export interface Subject {
  readonly spec: PluginSpec;
  readonly contract: Contract | undefined;
  /** The contract of what plugins may ask of a host; their calls are answered from it. */
  readonly capabilities: Contract;
  readonly config: Readonly<Record<string, unknown>>;
}

/** A check that does not hold, in one sentence. */
export class Failed extends Error {
  override readonly name = 'Failed';
}

const answerMs = 5_000;
const initializeMs = 10_000;
const graceMs = 3_000;

export class Conversation {
  /** Lines on stdout that are no messages. */
  readonly noise: string[] = [];
  /** Answers nobody waits for: given twice, or to an id that was never sent. */
  readonly strays: Response[] = [];
  readonly stderr: string[] = [];
  initialized: { version?: unknown; activates?: boolean; limits?: { maxLineBytes?: number }; protocol?: number } = {};
  readonly #subject: Subject;
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #waiting = new Map<number | string, (response: Response) => void>();
  readonly #failure: Promise<string | undefined>;
  #nullAnswers: Response[] = [];
  #lastId = 0;

  /** @param folder HOME and state folder of the plugin */
  constructor(subject: Subject, folder: string) {
    this.#subject = subject;
    this.#folder = folder;
    const { spec } = subject;
    const { process: child, failure } = startChild({
      command: commandOf(spec, distributionRoot()),
      cwd: spec.folder,
      env: childEnvironment(spec, this.#folder, process.env),
      stdin: 'pipe',
      output: 'pipe',
    });
    this.#child = child;
    // Every request that waits listens for the end.
    child.setMaxListeners(0);
    this.#failure = failure;
    const out = new LineReader({
      maxLineBytes: defaultMaxLineBytes,
      onLine: (line) => this.#read(line),
      onOversized: (start) => this.noise.push(`an oversized line: ${start}`),
    });
    child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
    const log = new LineReader({
      maxLineBytes: 65_536,
      onLine: (line) => this.stderr.push(line),
      onOversized: (start) => this.stderr.push(start),
    });
    child.stderr?.on('data', (chunk: Buffer) => log.push(chunk));
  }

  get maxLineBytes(): number {
    return this.initialized.limits?.maxLineBytes ?? defaultMaxLineBytes;
  }

  get ended(): boolean {
    return hasEnded(this.#child);
  }

  /** The handshake, as a host does it. @throws Failed */
  async initialize(range = { min: protocolVersion, max: protocolVersion }): Promise<Response> {
    const { spec, contract, capabilities, config } = this.#subject;
    const params = {
      protocol: range,
      host: { name: 'muster-kit', version: '1' },
      bundle: spec.bundle,
      plugin: spec.name,
      kind: spec.kind,
      config,
      capabilities: spec.needs,
      stateFolder: spec.needs.state ? this.#folder : null,
      limits: { maxLineBytes: defaultMaxLineBytes },
      bytes: { ...capabilities.bytes, ...contract?.bytes },
    };
    const response = await this.ask('initialize', params, initializeMs);
    if (response.result !== undefined) this.initialized = response.result as Conversation['initialized'];
    return response;
  }

  /** Handshake, activation if wanted, first ping. @throws Failed */
  async start(): Promise<this> {
    const { error } = await this.initialize();
    if (error) throw new Failed(`initialize was answered with an error: ${error.message}`);
    if (this.initialized.activates) await this.expectResult('activate', {});
    return this;
  }

  /** Sends a request and waits for its answer. @throws Failed if there is none in time */
  ask(method: string, params: unknown, limitMs = answerMs, meta: object = { deadlineMs: limitMs }): Promise<Response> {
    const { id, answer } = this.begin(method, params, limitMs, meta);
    void id;
    return answer;
  }

  /** Sends a request; the answer is awaited apart. */
  begin(
    method: string,
    params: unknown,
    limitMs = answerMs,
    meta: object = { deadlineMs: limitMs },
  ): { id: number; answer: Promise<Response> } {
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = this.expectAnswer(id, method, limitMs);
    this.send({ jsonrpc: '2.0', id, method, params, _meta: meta });
    return { id, answer };
  }

  nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  /** @throws Failed if this id is not answered in time */
  expectAnswer(id: number, what: string, limitMs = answerMs): Promise<Response> {
    const answer = new Promise<Response>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Failed(`${what} was not answered within ${limitMs} ms${this.#lastWords()}`)),
        limitMs,
      );
      const fail = (why: string) => {
        clearTimeout(timer);
        reject(new Failed(`${what} was not answered: ${why}${this.#lastWords()}`));
      };
      this.#child.once('exit', (code, signal) => setTimeout(() => fail(`the plugin ended (${signal ?? `exit ${code}`})`), 50));
      void this.#failure.then((why) => why !== undefined && fail(`the plugin could not be started: ${why}`));
      this.#waiting.set(id, (response) => {
        clearTimeout(timer);
        resolve(response);
      });
    });
    // Whoever asked may have stopped waiting when it fails.
    answer.catch(() => undefined);
    return answer;
  }

  async expectResult(method: string, params: unknown): Promise<unknown> {
    const { result, error } = await this.ask(method, params);
    if (error) throw new Failed(`${method} was answered with an error: ${error.message}`);
    return result;
  }

  /** The plugin still works. @throws Failed */
  async expectAlive(after: string): Promise<void> {
    const { error } = await this.ask('ping', {}).catch((failure: Error) => {
      throw new Failed(`after ${after}: ${failure.message}`);
    });
    if (error) throw new Failed(`after ${after} a ping was answered with an error: ${error.message}`);
  }

  /** An answer with `id: null`, as it belongs to a line that could not be read. @throws Failed */
  async expectRefusal(code: number, what: string): Promise<void> {
    const until = Date.now() + answerMs;
    while (this.#nullAnswers.length === 0) {
      if (Date.now() > until || this.ended)
        throw new Failed(`${what} was not answered with error ${code} and id null${this.#lastWords()}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const actual = this.#nullAnswers.shift()?.error?.code;
    if (actual !== code) throw new Failed(`${what} was answered with error ${actual}, not ${code}`);
  }

  send(message: unknown): void {
    this.write(`${JSON.stringify(message)}\n`);
  }

  write(bytes: string | Uint8Array): void {
    this.#child.stdin?.write(bytes);
  }

  endInput(): void {
    this.#child.stdin?.end();
  }

  kill(signal: NodeJS.Signals): void {
    signalGroup(this.#child.pid, signal);
  }

  /** Exit code and signal. @throws Failed if it takes longer than the grace time */
  async expectExit(what: string): Promise<{ code: number | null; signal: string | null }> {
    if (!this.ended) {
      await once(this.#child, 'exit', { signal: AbortSignal.timeout(graceMs) }).catch(() => {
        throw new Failed(`the plugin was still there ${graceMs} ms after ${what}`);
      });
    }
    return { code: this.#child.exitCode, signal: this.#child.signalCode };
  }

  /** Whether a process of its group is left. */
  leavesSomethingBehind(): Promise<boolean> {
    return staysBehind(this.#child.pid);
  }

  async close(): Promise<void> {
    await climbStopLadder(this.#child, { graceMs: 200 });
  }

  #read(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      this.noise.push(line);
      return;
    }
    if (typeof message !== 'object' || message === null || !('jsonrpc' in message)) this.noise.push(line);
    else if ('method' in message) this.#asked(message as { id?: number; method: string });
    else this.#answered(message as unknown as Response);
  }

  /** What the plugin asks is granted, with the least that the capability's contract allows. */
  #asked({ id, method }: { id?: number; method: string }): void {
    if (id === undefined) return;
    const result = this.#subject.capabilities.document.methods[method]?.result;
    if (result) this.send({ jsonrpc: '2.0', id, result: sampleOf(result) });
    else
      this.send({
        jsonrpc: '2.0',
        id,
        error: { code: -32601, message: `unknown method ${method}`, data: { code: 'UNKNOWN_METHOD' } },
      });
  }

  #answered(response: Response): void {
    if (response.id === null) {
      this.#nullAnswers.push(response);
      return;
    }
    const waiting = this.#waiting.get(response.id);
    if (!waiting) {
      this.strays.push(response);
      return;
    }
    this.#waiting.delete(response.id);
    waiting(response);
  }

  #lastWords(): string {
    const words = this.stderr.at(-1);
    return words === undefined ? '' : `; its last line on stderr: ${words.slice(0, 200)}`;
  }
}
