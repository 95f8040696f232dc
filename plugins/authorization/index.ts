// Action policies: `policies/<agent>.policy` beside the configuration file, read again when they change.

import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { type Decision, decide, type Policy, parseGroups, parsePolicy } from '../wire/policy.ts';

interface Config {
  readonly 'plugin.actionpolicy.allow_unconfigured'?: boolean;
  readonly 'plugin.actionpolicy.enable_default'?: boolean;
  readonly 'plugin.actionpolicy.default_name'?: string;
}

interface AuthorizeRequest {
  readonly agent: string;
  readonly action: string;
  readonly caller: string;
  readonly facts?: unknown;
  readonly classes?: readonly string[];
}

/** A change of a policy counts after this. */
const recheckMs = 250;
/** Names of agents come from requests, so what is remembered of them is bounded. */
const maxFiles = 1_024;
const noGroups: ReadonlyMap<string, readonly string[]> = new Map();

export default definePlugin({
  kind: 'authorizer',
  version: '1.0.0',
  create: async (host) => {
    const { configFile } = await host.control.info();
    const policies = new Policies(host, configFile === null ? undefined : join(dirname(configFile), 'policies'));
    return {
      methods: {
        'authorizer/authorize': ({ requests }: { requests: readonly AuthorizeRequest[] }) => ({
          decisions: requests.map((request) => policies.decide(request)),
        }),
      },
    };
  },
});

class Policies {
  readonly #host: Host;
  readonly #config: Config;
  readonly #folder: string | undefined;
  readonly #read = new Map<string, { readonly stamp: string; readonly value: unknown; readonly checkedAt: number }>();

  constructor(host: Host, folder: string | undefined) {
    this.#host = host;
    this.#config = host.config as Config;
    this.#folder = folder;
  }

  decide({ agent, action, caller, facts = {}, classes = [] }: AuthorizeRequest): Decision {
    try {
      const policy = this.#policy(agent);
      if (!policy)
        return {
          allowed: false,
          reason: `there is no policy for the agent ${agent}${this.#folder ? ` in ${this.#folder}` : ', since there is no configuration file'}`,
        };
      const groups = this.#load('groups', (text) => this.#told('groups', parseGroups(text)))?.members ?? noGroups;
      const decision = decide(policy.value, { caller, action, facts, classes, groups });
      return { allowed: decision.allowed, reason: `${policy.name}: ${decision.reason}` };
    } catch (error) {
      return { allowed: false, reason: `the policy could not be evaluated: ${(error as Error).message}` };
    }
  }

  #policy(agent: string): { name: string; value: Policy } | undefined {
    const shared = this.#config['plugin.actionpolicy.enable_default']
      ? [this.#config['plugin.actionpolicy.default_name'] ?? 'default']
      : [];
    for (const name of [agent, ...shared]) {
      const file = `${name}.policy`;
      const value = /^[\w.-]+$/.test(name) ? this.#load(file, (text) => this.#parse(file, text)) : undefined;
      if (value) return { name: file, value };
    }
    return undefined;
  }

  #parse(file: string, text: string): Policy {
    return this.#told(file, parsePolicy(text, { defaultAllow: this.#config['plugin.actionpolicy.allow_unconfigured'] ?? false }));
  }

  #told<T extends { readonly warnings: readonly string[] }>(file: string, read: T): T {
    for (const warning of read.warnings) this.#host.log.warn(`${file}: ${warning}`);
    return read;
  }

  /** A parsed file, or undefined if there is none. Looked at again after a quarter of a second, since every request asks. */
  #load<T>(name: string, parse: (text: string) => T): T | undefined {
    if (this.#folder === undefined) return undefined;
    const now = performance.now();
    const known = this.#read.get(name);
    if (known && now - known.checkedAt < recheckMs) return known.value as T | undefined;
    const path = join(this.#folder, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    const stamp = stat ? `${stat.mtimeMs} ${stat.size} ${stat.ino}` : 'none';
    const value = known?.stamp === stamp ? (known.value as T | undefined) : stat ? parse(readFileSync(path, 'utf8')) : undefined;
    if (this.#read.size >= maxFiles) this.#read.clear();
    this.#read.set(name, { stamp, value, checkedAt: now });
    return value;
  }
}
