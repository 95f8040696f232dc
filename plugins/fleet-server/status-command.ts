// `muster status`: whether a node is well, by what it wrote to its status file. Needs no broker and no rights.

import { readFileSync, statSync } from 'node:fs';
import { type NodeStatus, validate } from '#schemas/choria/server/status';
import { definePlugin } from '../../core/sdk/typescript/index.ts';
import { parseDuration } from '../wire/duration.ts';

interface Options {
  readonly statusFile?: string;
  /** False with --no-disconnected. */
  readonly disconnected?: boolean;
  readonly messageSince: string;
  readonly maxAge: string;
  readonly certificateAge: string;
  readonly tokenAge: string;
  readonly provisioned?: boolean;
  readonly unprovisioned?: boolean;
}

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host) => ({
    methods: {
      'command/run': async ({ options }: { options: Options }) => {
        if (!options.statusFile) throw new Error('name the file to check with --status-file');
        const problem = findProblem(options.statusFile, options, Date.now());
        await host.terminal.write(`${options.statusFile} ${problem ?? 'OK'}\n`);
        return { exitCode: problem === undefined ? 0 : 1 };
      },
    },
  }),
});

/** What is wrong first, in the order in which Choria checks; undefined if nothing is. */
function findProblem(file: string, options: Options, now: number): string | undefined {
  let status: NodeStatus;
  let writtenAt: number;
  try {
    status = read(file);
    writtenAt = statSync(file).mtimeMs;
  } catch (error) {
    return `could not be read: ${(error as Error).message}`;
  }
  const maxAge = duration('max-age', options.maxAge);
  if (maxAge > 0 && now - writtenAt > maxAge)
    return `older than ${options.maxAge}: written at ${new Date(writtenAt).toISOString()}`;
  return (
    expires('certificate', status.certificate_expires, duration('certificate-age', options.certificateAge), now) ??
    expires('token', status.token_expires, duration('token-age', options.tokenAge), now) ??
    (options.disconnected !== false && status.connected_server === '' ? 'connection check failed: not connected' : undefined) ??
    lastMessage(status, duration('message-since', options.messageSince), now) ??
    (options.provisioned && status.provisioning_mode ? 'in provisioning mode' : undefined) ??
    (options.unprovisioned && !status.provisioning_mode ? 'not in provisioning mode' : undefined)
  );
}

/** @throws Error if it holds something else */
function read(file: string): NodeStatus {
  const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (validate(value)) return value;
  const [first] = validate.errors ?? [];
  throw new Error(`it is no status file: ${first?.instancePath.slice(1) || 'it'} ${first?.message ?? 'is not valid'}`);
}

/** The year 1 means that nothing is known, which is no problem. */
function expires(what: string, time: string, leastMs: number, now: number): string | undefined {
  const at = Date.parse(time);
  if (leastMs === 0 || time.startsWith('0001-') || at - now >= leastMs) return undefined;
  return `${what} expires at ${time}`;
}

/** A node that just started may not have been asked anything yet. */
function lastMessage({ last_message, uptime }: NodeStatus, withinMs: number, now: number): string | undefined {
  if (withinMs === 0 || (last_message === 0 && uptime * 1000 < withinMs)) return undefined;
  if (now - last_message * 1000 <= withinMs) return undefined;
  return `no recent messages: ${last_message === 0 ? 'none since the start' : `last message at ${new Date(last_message * 1000).toISOString()}`}`;
}

function duration(flag: string, text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new Error(`--${flag} must be a duration such as 30s, 10m or 1h, not '${text}'`);
  return ms;
}
