// The launcher: a small process that spawns for the host, because `spawn` blocks the event loop in proportion to the
// memory of whoever calls it. Speaks the plugin protocol's messages on stdin and stdout: `run` starts one program, feeds
// it, gathers its output and answers with how it ended.

import { isUtf8 } from 'node:buffer';
import { type ChildProcess, spawn } from 'node:child_process';
import { PluginError } from '../protocol/errors.ts';
import type { Params } from '../protocol/messages.ts';
import { type IncomingCall, Peer } from '../protocol/peer.ts';
import { PipeCarrier } from '../protocol/pipe.ts';
import { climbStopLadder, signalGroup } from './stop-ladder.ts';

export interface RunParams extends Params {
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
  readonly maxOutputBytes: number;
  /** Whether output past that ends the program, or only the last of it is kept. */
  readonly excess: 'end' | 'forget';
  readonly graceMs: number;
}

export interface RunResult {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  /** The last of it, at most 64 KiB. */
  readonly stderr: string;
  readonly tooLarge: boolean;
  /** Whether stdout is UTF-8; if not, `stdout` is what could be read of it. */
  readonly isUtf8: boolean;
}

const stderrBytes = 64 * 1024;

function main(): void {
  const children = new Set<ChildProcess>();
  const carrier = new PipeCarrier({ input: process.stdin, output: process.stdout, maxLineBytes: Number.MAX_SAFE_INTEGER });
  carrier.agree({ maxLineBytes: Number.MAX_SAFE_INTEGER });
  const peer = new Peer({
    carrier,
    onRequest: (_method, params, call) => run(params as RunParams, call, children),
    onClosed: () => {
      for (const child of children) signalGroup(child.pid, 'SIGKILL');
      process.exit(0);
    },
  });
  // The terminal's Ctrl-C is the host's business: it stops the launcher when it is done.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => peer.close(new Error('SIGTERM')));
}

async function run(
  { command, cwd, env, stdin, maxOutputBytes, excess, graceMs }: RunParams,
  call: IncomingCall,
  children: Set<ChildProcess>,
): Promise<RunResult> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { cwd, env, detached: true, stdio: 'pipe' });
  children.add(child);
  const stdout = new Gathered(maxOutputBytes);
  const stderr = new Gathered(stderrBytes);
  const stop = () => void climbStopLadder(child, { graceMs, ask: () => signalGroup(child.pid, 'SIGTERM') });
  try {
    const ended = new Promise<{ exitCode: number | null; signal: string | null }>((resolve, reject) => {
      child.once('error', (error: NodeJS.ErrnoException) =>
        reject(
          new PluginError('UNAVAILABLE', `${program} could not be started: ${error.message}`, { data: { errno: error.code } }),
        ),
      );
      // Output may still be on its way at `exit`; a grandchild that holds the pipe may keep `close` from ever coming.
      child.once('exit', (exitCode, signal) => {
        const done = () => resolve({ exitCode, signal });
        child.once('close', done);
        setTimeout(done, 200).unref();
      });
    });
    void call.progress({ pid: child.pid ?? null });
    call.signal.addEventListener('abort', stop, { once: true });
    child.stdin.on('error', () => undefined);
    child.stdout.on('data', (chunk: Buffer) => {
      if (excess === 'forget') stdout.addLast(chunk);
      else if (!stdout.add(chunk)) stop();
    });
    child.stderr.on('data', (chunk: Buffer) => stderr.addLast(chunk));
    child.stdin.end(stdin);
    const end = await ended;
    return { ...end, stdout: stdout.text(), stderr: stderr.text(), tooLarge: stdout.overflowed, isUtf8: isUtf8(stdout.bytes()) };
  } finally {
    signalGroup(child.pid, 'SIGKILL');
    children.delete(child);
    for (const stream of child.stdio) stream?.destroy();
  }
}

class Gathered {
  overflowed = false;
  readonly #max: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(max: number) {
    this.#max = max;
  }

  add(chunk: Buffer): boolean {
    if (this.#bytes + chunk.length > this.#max) this.overflowed = true;
    else this.#push(chunk);
    return !this.overflowed;
  }

  addLast(chunk: Buffer): void {
    this.#push(chunk);
    while (this.#bytes > this.#max && this.#parts.length > 1) this.#bytes -= this.#parts.shift()?.length ?? 0;
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts).subarray(-this.#max);
  }

  #push(chunk: Buffer): void {
    this.#parts.push(chunk);
    this.#bytes += chunk.length;
  }
}

main();
