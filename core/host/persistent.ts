// Runs a plugin as a process that is kept: handshake, log, violations, the end.

import { mkdirSync } from 'node:fs';
import { PluginError } from '../protocol/errors.ts';
import { type InitializeResult, lifecycle } from '../protocol/messages.ts';
import { Peer } from '../protocol/peer.ts';
import { PipeCarrier } from '../protocol/pipe.ts';
import { type Child, startChild } from './child.ts';
import { childEnvironment } from './environment.ts';
import { explainFailedStart } from './explain.ts';
import { type End, type Instance, initialize, PeerInstance, type StartOptions } from './instance.ts';
import { atSource, commandOf } from './spec.ts';
import { logStderr } from './stderr.ts';
import { climbStopLadder } from './stop-ladder.ts';

/** Lines on stdout that are no messages, after which a plugin is stopped. */
export const maxViolations = 10;

export interface PersistentOptions extends StartOptions {
  /** Folder for HOME, TMPDIR and what the interpreter keeps. */
  readonly workFolder: string;
}

export async function startPersistent(options: PersistentOptions): Promise<Instance> {
  const { spec, runtime, log } = options;
  const command = commandOf(spec, runtime.root);
  const env = childEnvironment(spec, options.workFolder, process.env);
  mkdirSync(options.workFolder, { recursive: true, mode: 0o700 });
  const started = startChild({ command, cwd: spec.folder, env, stdin: 'pipe', output: 'pipe' });
  const child = started.process;
  const { stdin, stdout, stderr } = child;
  if (!stdin || !stdout || !stderr) throw new Error('the child has no pipes');
  if (child.pid !== undefined) runtime.guardian.guard(child.pid);

  const lastStderr = logStderr(stderr, log, (line) => atSource(spec, line));
  const noise = new Noise();
  const end = watchEnd(started, options);
  const carrier = new PipeCarrier({ input: stdout, output: stdin, maxLineBytes: spec.limits.maxLineBytes });
  const peer = new Peer({
    carrier,
    onRequest: options.onRequest,
    onViolation: (what) => {
      log.warn({ violation: noise.count + 1 }, `plugin ${what}`);
      if (!noise.add(what)) return;
      log.error(
        {},
        `stopped after ${maxViolations} violations of the protocol; stdout belongs to the protocol, prints belong on stderr`,
      );
      end.expect('it broke the protocol too often', false);
      peer.close(new Error('it broke the protocol too often'));
    },
    // A plugin that lets go of its stdout can't answer any more, so it is ended.
    onClosed: () => void climbStopLadder(child, { graceMs: spec.limits.graceMs }),
  });
  void end.ended.then(({ reason }) => peer.close(new Error(reason)));

  let answer: InitializeResult;
  try {
    answer = await initialize(peer, options);
  } catch (error) {
    peer.close(new Error('it did not start'));
    end.expect('it did not start', true);
    await climbStopLadder(child, { graceMs: 200 });
    const why = await explainFailedStart({
      command,
      path: env.PATH,
      problem: `${spec.kind}/${spec.name} did not start: ${(error as Error).message}`,
      exitCode: child.exitCode,
      signal: child.signalCode,
      firstStdout: noise.first,
      stderr: lastStderr,
    });
    throw new PluginError('UNAVAILABLE', atSource(spec, why), { cause: error });
  }
  carrier.agree({
    maxLineBytes: answer.limits?.maxLineBytes,
    bytes: options.bytes,
  });
  const stop = async (graceMs: number) => {
    end.expect('stopped', true);
    await peer.call(lifecycle.shutdown, {}, { deadlineMs: graceMs }).catch(() => undefined);
    peer.close(new Error('stopped'));
    await climbStopLadder(child, { graceMs });
  };
  return new PeerInstance({ peer, answer }, { runner: 'persistent', pid: child.pid, ended: end.ended, stop });
}

interface WatchedEnd {
  readonly ended: Promise<End>;
  expect(reason: string, expected: boolean): void;
}

function watchEnd({ process: child, failure }: Child, { runtime, spec }: PersistentOptions): WatchedEnd {
  let stated: { reason: string; expected: boolean } | undefined;
  const ended = new Promise<End>((resolve) => {
    const done = (reason: string) => {
      // What the plugin forked goes with it.
      void climbStopLadder(child, { graceMs: 0 });
      if (child.pid !== undefined) runtime.guardian.release(child.pid);
      resolve({ expected: stated?.expected ?? false, reason: stated?.reason ?? reason });
    };
    const name = `${spec.kind}/${spec.name}`;
    child.once('exit', (code, signal) => done(signal ? `${name} was ended by ${signal}` : `${name} exited with ${code}`));
    void failure.then((problem) => {
      if (problem !== undefined) done(`${name} could not be run: ${problem}`);
    });
  });
  return {
    ended,
    expect: (reason, expected) => {
      stated ??= { reason, expected };
    },
  };
}

class Noise {
  count = 0;
  first: string | undefined;

  /** True when it was one too many. */
  add(what: string): boolean {
    this.first ??= what;
    this.count += 1;
    return this.count === maxViolations;
  }
}
