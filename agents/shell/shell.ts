// The agent `shell`: runs commands, and keeps jobs that go on by themselves.

import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ActionCall, ActionError, defineAgent, type Host } from 'muster/sdk';
import { exitCodeOf, type Job } from './job.ts';
import { Jobs } from './jobs.ts';
import { roomForText } from './text.ts';
import { accountOf } from './users.ts';

/** So much earlier than its caller gives up a command is stopped, so that what it wrote still arrives. */
const replyMs = 3_000;
const lookMs = 20;
const maxHandles = 100;
const maxHandleLength = 36;

interface CommandInput {
  readonly command: string;
  readonly user?: string;
}

interface StatusInput {
  readonly handle: string;
  readonly stdout_offset?: number;
  readonly stderr_offset?: number;
}

export default defineAgent({
  name: 'shell',
  version: '1.0.0',
  create: (host) => {
    const jobs = openJobs(host);
    return {
      actions: {
        run: (input: CommandInput & { timeout?: number }, call) => run(jobs, input, call),
        start: (input: CommandInput, call) => start(jobs, input, call),
        status: ({ handle, stdout_offset = 0, stderr_offset = 0 }: StatusInput) =>
          statusOf(jobs.find(handle), { stdout: stdout_offset, stderr: stderr_offset, room: roomForText }),
        statuses: ({ handles }: { handles: readonly string[] }) => statuses(jobs, handles),
        kill: ({ handle, signal = 'TERM' }: { handle: string; signal?: string }) =>
          jobs.find(handle).signal(`SIG${signal}` as NodeJS.Signals),
        list: () => list(jobs),
      },
    };
  },
});

function openJobs({ stateFolder, config }: Host): Jobs {
  if (stateFolder === null) throw new Error('the agent shell needs a state folder: `needs: {state: true}`');
  return new Jobs(join(stateFolder, 'jobs'), {
    maxRunning: Number(config['plugin.shell.max_jobs']),
    maxOutput: Number(config['plugin.shell.max_output']),
    retentionMs: Number(config['plugin.shell.retention']),
  });
}

async function run(jobs: Jobs, { command, user, timeout = 0 }: CommandInput & { timeout?: number }, call: ActionCall) {
  if (!(timeout >= 0)) throw new ActionError('timeout must be a number of seconds', { status: 4 });
  const left = Math.max(0, (call.remainingMs() ?? Number.POSITIVE_INFINITY) - replyMs);
  const limitMs = Math.min(timeout > 0 ? timeout * 1000 : Number.POSITIVE_INFINITY, left);
  const job = await jobs.begin(command, await accountOf(user), Number.isFinite(limitMs) ? limitMs : null, call.signal);
  try {
    const ended = await end(job, call.signal);
    if (ended.at === 'failed') throw new ActionError(`the command could not be run: ${ended.reason}`);
    const exitcode = exitCodeOf(ended);
    const [stdout, stderr] = await Promise.all([job.tail('stdout'), job.tail('stderr')]);
    return { stdout, stderr, exitcode, success: exitcode === 0 && !ended.timedOut };
  } finally {
    jobs.remove(job);
  }
}

/** Waits for the end; a caller who gives up ends the job. */
async function end(job: Job, signal: AbortSignal) {
  try {
    for (;;) {
      const { state } = job;
      if (state.at === 'stopped' || state.at === 'failed') return state;
      await sleep(lookMs, undefined, { signal });
    }
  } catch (error) {
    if (job.state.at === 'running') job.signal('SIGKILL');
    throw error;
  }
}

async function start(jobs: Jobs, { command, user }: CommandInput, call: ActionCall) {
  const job = await jobs.begin(command, await accountOf(user), null, call.signal);
  const { state } = job;
  if (state.at === 'failed') throw new ActionError(`the command could not be started: ${state.reason}`);
  call.log.info(`${call.request.caller} started the job ${job.handle}`);
  return { handle: job.handle };
}

interface Wanted {
  readonly stdout: number;
  readonly stderr: number;
  /** Characters of each stream. */
  readonly room: number;
}

async function statusOf(job: Job, { room, ...offsets }: Wanted) {
  if (!(offsets.stdout >= 0 && offsets.stderr >= 0))
    throw new ActionError('an offset is a number of bytes, from 0 on', { status: 4 });
  // The state first: what it wrote by the time that it stopped is then all there.
  const { state } = job;
  const [stdout, stderr] = await Promise.all([
    job.read('stdout', { offset: offsets.stdout, room }),
    job.read('stderr', { offset: offsets.stderr, room }),
  ]);
  return {
    status: state.at,
    stdout: stdout.text,
    stderr: stderr.text,
    stdout_offset: stdout.next,
    stderr_offset: stderr.next,
    ...(state.at === 'stopped' && { exitcode: exitCodeOf(state) }),
  };
}

async function statuses(jobs: Jobs, handles: readonly string[]) {
  const fit = Array.isArray(handles) && handles.length <= maxHandles;
  if (!fit || !handles.every((handle) => typeof handle === 'string' && handle.length <= maxHandleLength))
    throw new ActionError(`handles must be at most ${maxHandles} texts of ${maxHandleLength} characters`, { status: 4 });
  const room = Math.floor(roomForText / Math.max(1, handles.length));
  const told = handles.map(async (handle) => {
    try {
      return [handle, await statusOf(jobs.find(handle), { stdout: 0, stderr: 0, room })] as const;
    } catch (error) {
      return [handle, { status: 'error', error: (error as Error).message }] as const;
    }
  });
  return { statuses: Object.fromEntries(await Promise.all(told)) };
}

function list(jobs: Jobs) {
  jobs.forget();
  const entries = jobs.all().map((job) => {
    const { state, handle, command } = job;
    const signal = state.at !== 'stopped' ? null : state.signal === null ? 0 : constants.signals[state.signal];
    return [handle, { id: handle, command, status: state.at, signal }] as const;
  });
  return { jobs: Object.fromEntries(entries) };
}
