// `overlay up` in real processes, as a stranger would start it.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { distributionRoot } from '../../core/host/distribution.ts';
import { temporaryFolder } from './folders.ts';

const main = join(distributionRoot(), 'core/cli/main.js');

export interface Up {
  readonly child: ChildProcess;
  /** When it has ended and all that it said was read. */
  readonly closed: Promise<unknown>;
  text(): string;
}

/** Starts of `overlay up` with one state folder. */
export class Overlay {
  readonly folder: string;
  readonly #remove: () => void;
  readonly #running: Up[] = [];

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
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
    const up = { child, closed: once(child, 'close'), text: () => text };
    this.#running.push(up);
    return up;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const up of this.#running) {
      up.child.kill('SIGINT');
      await ended(up);
    }
    this.#remove();
  }
}

/** Its exit code. */
export async function ended({ child, closed }: Pick<Up, 'child' | 'closed'>): Promise<number | null> {
  await closed;
  return child.exitCode;
}

export function shell(command: string): Promise<{ code: number; out: string }> {
  return new Promise((resolve) =>
    execFile('sh', ['-c', command], { cwd: '/' }, (error, out, err) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, out: out + err }),
    ),
  );
}
