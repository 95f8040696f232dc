// The checks of a plugin that is one process a call.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startChild } from '../host/child.ts';
import { childEnvironment } from '../host/environment.ts';
import { climbStopLadder, hasEnded, signalGroup } from '../host/stop-ladder.ts';
import { decodeBytes, pathsOf } from '../protocol/bytes.ts';
import { Failed, type Subject } from './conversation.ts';
import type { Check } from './kit.ts';
import { staysBehind } from './leftovers.ts';
import { sampleOf } from './sample.ts';

const endMs = 5_000;
/** Time for a program to get going. */
const settleMs = 1_000;
const graceMs = 3_000;
const largeBytes = 1024 * 1024;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly leftBehind: boolean;
}

export const oneshotChecks: readonly Check[] = [
  {
    name: 'contract',
    what: 'each method of the kind prints one JSON value that fits, or fails with a reason',
    run: async ({ subject }) => {
      for (const { method, params } of samples(subject)) {
        const ended = await runOnce(subject, method, JSON.stringify(params));
        if (ended.code !== 0) expectReason(ended, method);
        else checkOutput(subject, method, ended.stdout);
      }
    },
  },
  {
    name: 'stdout',
    what: 'stdout holds one JSON value and nothing else',
    run: async ({ subject }) => {
      for (const { method, params } of samples(subject)) {
        const { code, stdout } = await runOnce(subject, method, JSON.stringify(params));
        if (code === 0) readJson(stdout);
      }
    },
  },
  {
    name: 'bad-json',
    what: 'input that is not JSON ends the call and does not hang it',
    run: async ({ subject }) => {
      const [first] = samples(subject);
      if (first) await runOnce(subject, first.method, '{"not":');
    },
  },
  {
    name: 'large-input',
    what: 'a megabyte of input ends the call and does not hang it',
    run: async ({ subject }) => {
      const [first] = samples(subject);
      if (first)
        await runOnce(subject, first.method, JSON.stringify({ ...(first.params as object), pad: 'x'.repeat(largeBytes) }));
    },
  },
  {
    name: 'cancel',
    what: 'SIGTERM to its group ends it within the grace time',
    run: async ({ subject }) => {
      const [first] = samples(subject);
      if (first) await terminate(subject, first.method, JSON.stringify(first.params));
    },
  },
  {
    name: 'leaves-nothing',
    what: 'no process is left behind when the call has ended',
    run: async ({ subject }) => {
      for (const { method, params } of samples(subject)) {
        const { leftBehind } = await runOnce(subject, method, JSON.stringify(params));
        if (leftBehind) throw new Failed(`after ${method} a process that it started is still running`);
      }
    },
  },
];

function samples({ contract }: Subject): { method: string; params: unknown }[] {
  return Object.entries(contract?.document.methods ?? {}).map(([method, { params }]) => ({ method, params: sampleOf(params) }));
}

function start({ spec, config }: Subject, method: string, folder: string) {
  return startChild({
    command: spec.command,
    cwd: spec.folder,
    env: {
      ...childEnvironment(spec, folder, process.env),
      MUSTER_METHOD: method,
      MUSTER_CONFIG: JSON.stringify(config),
      MUSTER_DEADLINE_MS: String(endMs),
      ...(spec.needs.state && { MUSTER_STATE: folder }),
    },
    stdin: 'pipe',
    output: 'pipe',
  });
}

async function runOnce(subject: Subject, method: string, input: string): Promise<Ended> {
  const folder = mkdtempSync(join(tmpdir(), 'muster-kit-'));
  const { process: child, failure } = start(subject, method, folder);
  const [stdout, stderr] = [gather(child.stdout), gather(child.stderr)];
  try {
    child.stdin?.end(`${input}\n`);
    const problem = await Promise.race([
      new Promise<undefined>((resolve) => child.once('exit', () => setTimeout(() => resolve(undefined), 50))),
      failure.then((why) => (why === undefined ? new Promise<never>(() => undefined) : `it could not be started: ${why}`)),
      new Promise<string>((resolve) => setTimeout(() => resolve(`${method} did not end within ${endMs} ms`), endMs).unref()),
    ]);
    if (problem !== undefined) throw new Failed(problem);
    return { code: child.exitCode, stdout: stdout(), stderr: stderr(), leftBehind: await staysBehind(child.pid) };
  } finally {
    await climbStopLadder(child, { graceMs: 200 });
    rmSync(folder, { recursive: true, force: true });
  }
}

async function terminate(subject: Subject, method: string, input: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'muster-kit-'));
  const { process: child } = start(subject, method, folder);
  try {
    // Half of its input: whatever it does now, it is not done.
    child.stdin?.write(input.slice(0, 1));
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    signalGroup(child.pid, 'SIGTERM');
    const until = Date.now() + graceMs;
    while (!hasEnded(child)) {
      if (Date.now() > until) throw new Failed(`it was still there ${graceMs} ms after SIGTERM`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  } finally {
    await climbStopLadder(child, { graceMs: 0 });
    rmSync(folder, { recursive: true, force: true });
  }
}

function gather(stream: NodeJS.ReadableStream | null): () => string {
  const parts: Buffer[] = [];
  stream?.on('data', (chunk: Buffer) => parts.push(chunk));
  return () => Buffer.concat(parts).toString('utf8');
}

function readJson(stdout: string): unknown {
  try {
    return JSON.parse(stdout) as unknown;
  } catch {
    throw new Failed(`stdout is no JSON value: ${stdout.slice(0, 100)}`);
  }
}

function checkOutput({ contract }: Subject, method: string, stdout: string): void {
  try {
    contract?.methods.get(method)?.checkResult(decodeBytes(readJson(stdout), pathsOf(contract.bytes, method, 'result')));
  } catch (error) {
    throw new Failed((error as Error).message);
  }
}

function expectReason({ code, stderr }: Ended, method: string): void {
  if (stderr.trim() === '') throw new Failed(`${method} ended with exit ${code} and said nothing on stderr`);
}
