// One run of an external agent: three files, exact environment, its reply file (Choria's external agent protocol v1).

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Host, HostCallOptions } from '../../core/sdk/typescript/index.ts';

export const protocols = {
  activation: 'io.choria.mcorpc.external.v1.activation_request',
  request: 'io.choria.mcorpc.external.v1.rpc_request',
} as const;

/** Replies larger than this are not read: no broker would carry them. */
const maxReplyBytes = 8 * 1024 * 1024;

export interface Run {
  readonly executable: string;
  readonly agent: string;
  readonly protocol: (typeof protocols)[keyof typeof protocols];
  readonly request: object;
  /** Facts of the node; undefined leaves the file empty. */
  readonly facts: object | undefined;
  /** `<dir>/plugin.d/<agent>`, which may not exist. */
  readonly configPath: string;
}

/** A run that gave no reply; the message is what the caller is told. */
export class RunError extends Error {
  override readonly name = 'RunError';
  readonly code = 'EXTERNAL_AGENT';
}

/** The parsed reply file. @throws RunError; PluginError `DEADLINE`, `CANCELLED` */
export async function runAgent(
  host: Host,
  { executable, agent, protocol, request, facts, configPath }: Run,
  options: HostCallOptions,
): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), 'muster-agent-'));
  const [requestFile, replyFile, factsFile] = ['request.json', 'reply.json', 'facts.json'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  try {
    writeFileSync(requestFile, JSON.stringify(request), { mode: 0o600 });
    writeFileSync(replyFile, '', { mode: 0o600 });
    writeFileSync(factsFile, facts ? JSON.stringify(facts) : '', { mode: 0o600 });
    const ended = await host.processes.run(
      {
        // The third argument is that of requests also for activation; programs tell the two apart by the environment.
        command: [executable, requestFile, replyFile, protocols.request],
        cwd: tmpdir(),
        env: {
          CHORIA_EXTERNAL_REQUEST: requestFile,
          CHORIA_EXTERNAL_REPLY: replyFile,
          CHORIA_EXTERNAL_PROTOCOL: protocol,
          CHORIA_EXTERNAL_CONFIG: configPath,
          CHORIA_EXTERNAL_FACTS: factsFile,
          PATH: process.env.PATH ?? '/usr/bin:/bin',
        },
      },
      options,
    );
    logOutput(host, agent, ended);
    if (ended.exitCode !== 0) throw new RunError(`executing ${basename(executable)} failed: exit status ${ended.exitCode ?? -1}`);
    return readReply(replyFile);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function logOutput(host: Host, agent: string, { stdout, stderr }: { stdout: string; stderr: string }): void {
  for (const line of linesOf(stdout)) host.log.info(line, { agent });
  for (const line of linesOf(stderr)) host.log.error(line, { agent });
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}

function readReply(file: string): unknown {
  const { size } = statSync(file);
  if (size > maxReplyBytes)
    throw new RunError(`failed to decode reply json: it has ${size} bytes, at most ${maxReplyBytes} are read`);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))) as unknown;
  } catch (error) {
    throw new RunError(`failed to decode reply json: ${(error as Error).message}`);
  }
}
