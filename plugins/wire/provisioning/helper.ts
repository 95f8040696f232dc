// One run of a provisioning helper: a program that knows nothing of Muster.

import { tmpdir } from 'node:os';
import { type Host, type HostCallOptions, PluginError } from '../../../core/sdk/typescript/index.ts';
import { HookError } from './errors.ts';
import { type ProvisionReply, type ProvisionRequest, readHookReply } from './reply.ts';

/** The time that Choria gives a helper. */
export const helperMs = 10_000;
/** The host keeps the end of an output, about twice this. */
const mostBytes = 512 * 1024;
const handedOn: readonly string[] = ['PATH', 'HOME', 'USER', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'];

export interface HelperRun {
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly request: ProvisionRequest;
  /** Names of further variables that it gets. */
  readonly environment: readonly string[];
  readonly cwd?: string;
}

/** @throws HookError `HOOK_REPLY` if it fails, is too slow, or prints anything but one answer */
export async function runHelper(
  host: Host,
  { command, request, environment, cwd }: HelperRun,
  options: HostCallOptions,
): Promise<{ readonly reply: ProvisionReply; readonly stderr: string }> {
  const env = Object.fromEntries(
    [...handedOn, ...environment].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const spec = { command, cwd: cwd ?? tmpdir(), env, stdin: JSON.stringify(request) };
  const ended = await host.processes.run(spec, options).catch((error: unknown) => {
    if (!(error instanceof PluginError)) throw error;
    if (error.code === 'DEADLINE')
      throw new HookError('HOOK_REPLY', `it did not end within ${(options.deadlineMs ?? helperMs) / 1000} s and was killed`, {
        cause: error,
      });
    throw new HookError('HOOK_REPLY', error.message, { cause: error });
  });
  if (ended.exitCode !== 0) {
    const last = ended.stderr.trimEnd().split('\n').at(-1) || 'nothing was said on stderr';
    if (ended.signal !== null) throw new HookError('HOOK_REPLY', `it was ended by ${ended.signal}: ${last}`);
    throw new HookError('HOOK_REPLY', `it exited with ${ended.exitCode}: ${last}`);
  }
  if (Buffer.byteLength(ended.stdout) >= mostBytes)
    throw new HookError('HOOK_REPLY', `it printed more than ${mostBytes} bytes; an answer has a few thousand`);
  return { reply: readHookReply(ended.stdout), stderr: ended.stderr };
}
