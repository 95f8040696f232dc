// The hook that is checked: a plugin by its name, that of a bundle in a folder, or a helper as a program.

import { existsSync, readFileSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { type Call, type Host, PluginError } from '../../../core/sdk/typescript/index.ts';
import { runHelper } from '../../wire/provisioning/helper.ts';
import { checkHookReply, type ProvisionReply, type ProvisionRequest, type Revocation } from '../../wire/provisioning/reply.ts';
import { splitWords } from '../../wire/words.ts';
import { CheckError } from './errors.ts';

export interface Revoked {
  readonly revoked: boolean;
  readonly crl?: string;
}

export interface Target {
  readonly title: string;
  /** @throws whatever the hook answers instead */
  provision(request: ProvisionRequest): Promise<ProvisionReply>;
  /** Undefined if it can't. @throws whatever the hook answers instead */
  revoke(revocation: Revocation): Promise<Revoked | undefined>;
}

const kind = 'provisioning-hook';
/** The time that a provisioner gives a hook. */
export const limitMs = 10_000;
const revokeMs = 30_000;

/** @throws CheckError if there is nothing of the name */
export async function findTarget(host: Host, named: string, call: Call): Promise<Target> {
  const folder = resolve(named);
  const manifest = join(folder, 'bundle.yaml');
  const plugins = (await host.plugins.list(kind)).map(({ name }) => name);
  if (existsSync(manifest)) return pluginTarget(host, hookOf(manifest, plugins), call);
  if (plugins.includes(named)) return pluginTarget(host, named, call);
  const [program = '', ...args] = splitWords(named);
  const file = resolve(program);
  if (program.includes('/') || existsSync(file)) {
    if (!existsSync(file))
      throw new CheckError(`there is no ${program}; name a hook (${plugins.join(', ')}), a bundle or a program`);
    return programTarget(host, [isAbsolute(program) ? program : file, ...args], call);
  }
  if (args.length > 0) return programTarget(host, [program, ...args], call);
  throw new CheckError(`there is no hook, bundle or program ${named}; hooks are ${plugins.join(', ')}`);
}

function hookOf(manifest: string, loaded: readonly string[]): string {
  const { plugins = [] } = parse(readFileSync(manifest, 'utf8')) as { plugins?: { kind: string; name: string }[] };
  const hooks = plugins.filter((plugin) => plugin.kind === kind && loaded.includes(plugin.name));
  const [hook] = hooks;
  if (!hook || hooks.length > 1)
    throw new CheckError(`${manifest} has ${hooks.length} plugins of kind ${kind}; it has to be one`);
  return hook.name;
}

function pluginTarget(host: Host, name: string, call: Call): Target {
  const ask = (method: string, params: object, deadlineMs: number) =>
    host.plugins.call(kind, name, method, { ...params }, { signal: call.signal, deadlineMs });
  return {
    title: name,
    provision: async (request) => checkHookReply(await ask('hook/provision', request, limitMs)),
    revoke: async (revocation) => {
      try {
        return (await ask('hook/revoke', revocation, revokeMs)) as Revoked;
      } catch (error) {
        if (error instanceof PluginError && ['UNKNOWN_METHOD', 'CONTRACT'].includes(error.code)) return undefined;
        throw error;
      }
    },
  };
}

function programTarget(host: Host, command: readonly string[], call: Call): Target {
  return {
    title: command.join(' '),
    provision: async (request) => {
      const run = { command, request, environment: Object.keys(process.env), cwd: process.cwd() };
      return (await runHelper(host, run, { signal: call.signal, deadlineMs: limitMs })).reply;
    },
    revoke: () => Promise.resolve(undefined),
  };
}
