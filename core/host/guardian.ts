// Sees to it that no child outlives the host, even one killed by -9: a small shell that holds the process groups.

import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { startChild } from './child.ts';

export class Guardian {
  #shell: ChildProcess | undefined;

  /** The group's members are ended when this process is gone. */
  guard(group: number): void {
    this.#write(`+ ${group}\n`);
  }

  /** The group has ended; its number may be used by somebody else from now on. */
  release(group: number): void {
    if (this.#shell) this.#write(`- ${group}\n`);
  }

  /** Ends the guardian; groups that are still guarded are ended with it. */
  close(): void {
    this.#shell?.stdin?.end();
    this.#shell = undefined;
  }

  #write(line: string): void {
    this.#shell ??= start();
    this.#shell.stdin?.write(line);
  }
}

function start(): ChildProcess {
  const script = fileURLToPath(new URL('./guardian.sh', import.meta.url));
  // In a session of its own, as every child, so that Ctrl-C at the terminal does not reach it.
  const { process: shell } = startChild({
    command: ['/bin/sh', script],
    env: { PATH: '/usr/bin:/bin' },
    stdin: 'pipe',
    output: 'ignore',
  });
  shell.unref();
  (shell.stdin as { unref?: () => void } | null)?.unref?.();
  return shell;
}
