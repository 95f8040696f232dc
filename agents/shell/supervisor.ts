// Runs one job to its end: `node supervisor.js <folder>`. Whoever started it may be gone by then; all that it knows and
// tells is in the folder. It writes no more of the output than was agreed, and reads on, so that the job can go on.

import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { type ExitFile, type JobFile, type PidFile, processOf } from './files.ts';

/** From TERM to KILL when the time is over. */
const graceMs = 2_000;
/** What the command wrote last may still be on its way when it has ended. A child of it may hold the pipes for ever. */
const lastOutputMs = 500;

const folder = process.argv[2] ?? '';
const { argv, environment, maxOutput, limitMs } = JSON.parse(readFileSync(join(folder, 'job.json'), 'utf8')) as JobFile;

/** Others see a file whole or not at all. */
function tell(name: string, content: ExitFile | PidFile): void {
  writeFileSync(join(folder, `${name}.new`), JSON.stringify(content), { mode: 0o600 });
  renameSync(join(folder, `${name}.new`), join(folder, name));
}

function keep(stream: Readable, name: string): Promise<void> {
  const file = openSync(join(folder, name), 'a', 0o600);
  let room = maxOutput;
  stream.on('data', (chunk: Buffer) => {
    if (room > 0) writeSync(file, chunk.subarray(0, room));
    room -= chunk.length;
  });
  return new Promise((resolve) =>
    stream.on('close', () => {
      closeSync(file);
      resolve();
    }),
  );
}

const [program = '', ...args] = argv;
const child = spawn(program, args, { cwd: '/', env: environment, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
const closed = Promise.all([keep(child.stdout, 'stdout'), keep(child.stderr, 'stderr')]);
let timedOut = false;

function signalGroup(signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // It has just ended.
  }
}

function endInTime(): void {
  timedOut = true;
  signalGroup('SIGTERM');
  setTimeout(() => signalGroup('SIGKILL'), graceMs).unref();
}

child.on('error', (error) => tell('exit.json', { at: 'failed', reason: error.message }));
child.on('spawn', () => tell('pid.json', { supervisor: processOf(process.pid), command: processOf(child.pid ?? 0) }));
const limit = limitMs === null ? undefined : setTimeout(endInTime, limitMs);
child.on('exit', async (code, signal) => {
  clearTimeout(limit);
  // What runs over its time is ended whole.
  if (timedOut) signalGroup('SIGKILL');
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, lastOutputMs).unref())]);
  tell('exit.json', { at: 'stopped', code, signal, timedOut });
});
