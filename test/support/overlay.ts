// `overlay up` in real processes, as a stranger would start it.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { distributionRoot } from '../../core/host/distribution.ts';
import { temporaryFolder } from './folders.ts';

const main = join(distributionRoot(), 'core/cli/main.js');

export interface Up {
  readonly child: ChildProcess;
  text(): string;
}

/** Starts of `overlay up` with one state folder. */
export class Overlay {
  readonly folder: string;
  readonly #remove: () => void;
  readonly #running: ChildProcess[] = [];

  constructor() {
    const { path, remove } = temporaryFolder();
    this.folder = path;
    this.#remove = remove;
  }

  up(...args: string[]): Up {
    const child = spawn(process.execPath, [main, 'overlay', 'up', '--state', join(this.folder, 'state'), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, MUSTER_TEST_CANARY: 'canary' },
    });
    this.#running.push(child);
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
    return { child, text: () => text };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#running) {
      child.kill('SIGINT');
      await ended({ child });
    }
    this.#remove();
  }
}

/** Its exit code. */
export async function ended({ child }: Pick<Up, 'child'>): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode;
}

export function shell(command: string): Promise<{ code: number; out: string }> {
  return new Promise((resolve) =>
    execFile('sh', ['-c', command], { cwd: '/' }, (error, out, err) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, out: out + err }),
    ),
  );
}
