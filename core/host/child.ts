// The one way that the host starts a process: no shell, own group, nothing inherited, output never gathered.

import type { ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

export interface ChildSpec {
  readonly command: readonly string[];
  readonly cwd?: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: 'pipe' | 'ignore';
  readonly output: 'pipe' | 'ignore' | 'inherit';
  readonly stderr?: 'pipe' | 'ignore' | 'inherit';
}

/** A started child, and why it could not be run, if so. */
export interface Child {
  readonly process: ChildProcess;
  readonly failure: Promise<string | undefined>;
}

export function startChild({ command, cwd, env, stdin, output, stderr = output }: ChildSpec): Child {
  // Loaded with the first child: it takes as long as all else that a command loads, and most commands start none.
  const { execa } = require('execa') as typeof import('execa');
  const [program = '', ...args] = command;
  const running = execa(program, args, {
    ...(cwd !== undefined && { cwd }),
    env,
    extendEnv: false,
    // A process group of its own, so that the whole of it can be ended.
    detached: true,
    cleanup: false,
    // By default execa keeps all output and ends the child at 100 MB of it.
    buffer: false,
    reject: false,
    stdin,
    stdout: output,
    stderr,
  });
  const failure = running.then((result) =>
    'code' in result && result.code !== undefined && result.exitCode === undefined
      ? (result.originalMessage ?? result.code)
      : undefined,
  );
  // Without listeners, EPIPE on stdin or a failed spawn would end the host.
  running.stdin?.on('error', () => undefined);
  running.on('error', () => undefined);
  return { process: running as unknown as ChildProcess, failure };
}
