// The authorizer `rego_policy`: policies in Rego beside the configuration file of a node, read again when they change.

import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { nodeInput } from '../wire/rego/input.ts';
import { maxPolicyBytes } from '../wire/rego/policy-use.ts';
import { PreparedPolicies } from '../wire/rego/prepared.ts';
import { requestFilter } from '../wire/rego/request-filter.ts';
import { type AuthorizeDecision, type AuthorizeRequest, decideAll } from './requests.ts';

/** A change of a policy counts after this. */
const recheckMs = 250;
/** Names of agents come from requests, so what is remembered of them is bounded. */
const maxFiles = 1_024;

interface Read {
  readonly stamp: string;
  readonly text: string | undefined;
  readonly checkedAt: number;
}

export default definePlugin({
  kind: 'authorizer',
  version: '1.0.0',
  create: async (host: Host) => {
    const { configFile } = await host.control.info();
    const files = new RegoFiles(host, configFile === null ? undefined : join(dirname(configFile), 'policies', 'rego'));
    return {
      methods: {
        'authorizer/authorize': ({ requests }: { requests: readonly AuthorizeRequest[] }) =>
          decideAll(requests, (request) => files.decide(request)),
      },
      shutdown: () => files.close(),
    };
  },
});

class RegoFiles {
  readonly #host: Host;
  readonly #folder: string | undefined;
  readonly #policies: PreparedPolicies;
  readonly #read = new Map<string, Read>();

  constructor(host: Host, folder: string | undefined) {
    this.#host = host;
    this.#folder = folder;
    this.#policies = new PreparedPolicies(host, 'node', 'the policy');
  }

  async decide(request: AuthorizeRequest): Promise<AuthorizeDecision> {
    const { agent, action, caller } = request;
    const found = this.#policy(agent);
    if (!found) {
      const where = this.#folder ? `in ${this.#folder}` : 'anywhere, since there is no configuration file';
      return { allowed: false, reason: `there is neither ${agent}.rego nor default.rego ${where}` };
    }
    const input = nodeInput(request);
    const { allowed, reason, explanation } = await this.#policies.decide(found.text, input, requestFilter(undefined));
    if (this.#host.config['plugin.regopolicy.tracing'] === true && input.ok)
      this.#host.log.info(`${found.name}: ${allowed ? 'allowed' : 'denied'} ${caller} ${agent}#${action}: ${reason}`, {
        explanation: explanation ?? [],
      });
    return { allowed, reason: `${found.name}: ${reason}`, ...(explanation && { explanation }) };
  }

  close(): Promise<void> {
    return this.#policies.close();
  }

  #policy(agent: string): { name: string; text: string } | undefined {
    for (const name of [agent, 'default']) {
      const text = /^[\w.-]+$/.test(name) ? this.#load(`${name}.rego`) : undefined;
      if (text !== undefined) return { name: `${name}.rego`, text };
    }
    return undefined;
  }

  /** Looked at again after a quarter of a second, since every request asks. @throws Error if it can't be read */
  #load(name: string): string | undefined {
    if (this.#folder === undefined) return undefined;
    const now = performance.now();
    const known = this.#read.get(name);
    if (known && now - known.checkedAt < recheckMs) return known.text;
    const path = join(this.#folder, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    const stamp = stat ? `${stat.mtimeMs} ${stat.size} ${stat.ino}` : 'none';
    if (stat && stat.size > maxPolicyBytes) throw new Error(`${path} has more than ${maxPolicyBytes} bytes`);
    const text = known?.stamp === stamp ? known.text : stat ? readFileSync(path, 'utf8') : undefined;
    if (this.#read.size >= maxFiles) this.#read.clear();
    this.#read.set(name, { stamp, text, checkedAt: now });
    return text;
  }
}
