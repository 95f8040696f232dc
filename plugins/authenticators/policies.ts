// Policies of users are compiled when they are loaded, so that the first request need not wait for it.

import { readFileSync } from 'node:fs';
import type { Host } from '../../core/sdk/typescript/index.ts';

interface WithPolicy {
  readonly username: string;
  readonly opa_policy?: string | null;
  readonly opa_policy_file?: string | null;
}

const compiler = 'opa';

/** Tells in the log of those that can not be compiled; their users may log in, and their requests are denied. */
export async function preparePolicies(host: Host, users: readonly WithPolicy[]): Promise<void> {
  const owners = new Map<string, string>();
  for (const { username, opa_policy: text, opa_policy_file: file } of users) {
    const policy = text || readPolicy(file);
    if (policy) owners.set(policy, username);
  }
  if (owners.size === 0 || !(await hasCompiler(host))) return;
  for (const [policy, owner] of owners)
    try {
      const params = { policy, use: 'token' };
      const result = await host.plugins.call('policy-compiler', compiler, 'policy/prepare', params);
      const { ok, reason = '' } = result as { readonly ok: boolean; readonly reason?: string };
      if (!ok) host.log.warn(`the policy of ${owner} can not be compiled, so that his requests are denied: ${reason}`);
    } catch (error) {
      host.log.warn(`the policy of ${owner} could not be compiled yet: ${(error as Error).message}`);
    }
}

async function hasCompiler(host: Host): Promise<boolean> {
  const compilers = await host.plugins.list('policy-compiler').catch(() => []);
  return compilers.some(({ name }) => name === compiler);
}

function readPolicy(file: string | null | undefined): string | undefined {
  try {
    return file ? readFileSync(file, 'utf8') : undefined;
  } catch {
    // The login says so.
    return undefined;
  }
}
