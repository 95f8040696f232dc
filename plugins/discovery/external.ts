// Nodes from a program of the user's, by Choria's protocol for external discovery.

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ExternalDiscoveryReply, validate } from '#schemas/choria/discovery/v1/external_reply';
import type { ExternalDiscoveryRequest } from '#schemas/choria/discovery/v1/external_request';
import { type Call, definePlugin, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { splitWords } from '../wire/words.ts';
import { type DiscoverParams, DiscoveryError, type Found } from './request.ts';

const commandKey = 'plugin.choria.discovery.external.command';
const protocols = {
  request: 'io.choria.choria.discovery.v1.external_request',
  reply: 'io.choria.choria.discovery.v1.external_reply',
} as const;
const schema = 'https://choria.io/schemas/choria/discovery/v1/external_request.json';
const leastMs = 1_000;
const maxReplyBytes = 64 * 1024 * 1024;

export default definePlugin({
  kind: 'discovery',
  version: '1.0.0',
  create: (host: Host) => ({
    methods: {
      'discovery/discover': async (params: DiscoverParams, call: Call): Promise<Found> => {
        const { command = '', ...options } = params.options;
        const line = command || String(host.config[commandKey] ?? '');
        const words = splitWords(line);
        if (words.length === 0)
          throw new DiscoveryError(`external needs a command: --do command=COMMAND, or ${commandKey} in the configuration`);
        const timeoutMs = Math.max(leastMs, params.timeoutMs);
        const nodes = await run(host, words, requestOf(params, options, timeoutMs), timeoutMs, call);
        const raised = `the time for discovery was raised to ${leastMs / 1000} s, the least that an external program gets`;
        return { nodes: nodes.map((identity) => ({ identity })), ...(timeoutMs > params.timeoutMs && { notes: [raised] }) };
      },
    },
  }),
});

function requestOf(
  { filter, collective, federations }: DiscoverParams,
  options: Readonly<Record<string, string>>,
  timeoutMs: number,
): ExternalDiscoveryRequest {
  const { fact, cf_class, agent = [], identity, compound } = filter;
  return {
    $schema: schema,
    protocol: protocols.request,
    collective,
    federations: federations && federations.length > 0 ? [...federations] : null,
    timeout: timeoutMs / 1000,
    options,
    filter: { fact, cf_class, agent, identity, compound } as ExternalDiscoveryRequest['filter'],
  };
}

async function run(
  host: Host,
  command: readonly string[],
  request: ExternalDiscoveryRequest,
  deadlineMs: number,
  call: Call,
): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'muster-discovery-'));
  const requestFile = join(folder, 'request.json');
  const replyFile = join(folder, 'reply.json');
  const [program] = command;
  try {
    writeFileSync(requestFile, JSON.stringify(request), { mode: 0o600 });
    writeFileSync(replyFile, '', { mode: 0o600 });
    const spec = {
      command: [...command, requestFile, replyFile, protocols.request],
      cwd: tmpdir(),
      env: {
        CHORIA_EXTERNAL_REQUEST: requestFile,
        CHORIA_EXTERNAL_REPLY: replyFile,
        CHORIA_EXTERNAL_PROTOCOL: protocols.request,
        PATH: process.env.PATH ?? '/usr/bin:/bin',
      },
    };
    const ended = await host.processes.run(spec, { deadlineMs, signal: call.signal, for: call }).catch((error: unknown) => {
      if (error instanceof PluginError && error.code === 'DEADLINE')
        throw new DiscoveryError(`${program} did not end within ${deadlineMs / 1000} s and was killed`, { cause: error });
      throw error;
    });
    for (const text of linesOf(ended.stdout)) host.log.info(text);
    for (const text of linesOf(ended.stderr)) host.log.error(text);
    if (ended.exitCode !== 0)
      throw new DiscoveryError(`${program} failed: exit status ${ended.exitCode ?? -1}${lastLine(ended)}`);
    return readReply(String(program), replyFile);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readReply(program: string, file: string): readonly string[] {
  const { size } = statSync(file);
  if (size > maxReplyBytes)
    throw new DiscoveryError(`the reply of ${program} has ${size} bytes; at most ${maxReplyBytes} are read`);
  let reply: unknown;
  try {
    reply = JSON.parse(readFileSync(file, 'utf8')) as unknown;
  } catch (error) {
    throw new DiscoveryError(`the reply of ${program} is not JSON: ${(error as Error).message}`, { cause: error });
  }
  const { error } = (reply ?? {}) as { error?: unknown };
  if (typeof error === 'string' && error !== '') throw new DiscoveryError(error);
  if (!validate(reply)) {
    const [problem] = validate.errors ?? [];
    const at = problem?.instancePath.slice(1).replaceAll('/', '.') || 'it';
    throw new DiscoveryError(`the reply of ${program} is not of the protocol ${protocols.reply}: ${at} ${problem?.message}`);
  }
  return (reply satisfies ExternalDiscoveryReply).nodes ?? [];
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}

function lastLine({ stderr }: { readonly stderr: string }): string {
  const last = linesOf(stderr).at(-1);
  return last === undefined ? '' : `: ${last}`;
}
