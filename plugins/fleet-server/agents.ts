// The agents of this node: those of other bundles and those that the fleet server answers for itself.

import type { Host, Params } from '../../core/sdk/typescript/index.ts';
import { type AgentDDL, DdlError, ddlWarnings, readDdl } from '../wire/ddl.ts';
import { secretInputsOf } from '../wire/ddl-secrets.ts';
import { provisioningAgents } from '../wire/provisioning/mode.ts';

export class Agent {
  readonly name: string;
  readonly bundle: string;
  /** Whether it looks at its input by itself, and not we by its DDL. */
  readonly checksInput: boolean;
  readonly #secrets: readonly string[];
  readonly #resources: Params;
  readonly #document: unknown;
  readonly #origin: string;
  #ddl: AgentDDL | undefined;

  /** @throws DdlError if the document is no DDL of this agent */
  constructor(name: string, bundle: string, resources: Params) {
    const { ddl: document, input } = resources;
    this.name = name;
    this.bundle = bundle;
    this.#resources = resources;
    const { checkedBy, secrets = [] } = (input ?? {}) as { checkedBy?: unknown; secrets?: readonly string[] };
    this.checksInput = checkedBy === 'agent';
    this.#secrets = [...(secretInputsOf(document, secrets).get('*') ?? [])];
    this.#document = document;
    this.#origin = `agent/${name} of the bundle ${bundle}`;
    if (document === undefined)
      throw new DdlError(`${this.#origin} hands out no DDL; bundle.yaml needs \`resources: {ddl: ./${name}.json}\``);
    const { metadata } = this.#read();
    if (metadata.name !== name)
      throw new DdlError(`the DDL of ${this.#origin} is that of ${metadata.name}; its metadata.name has to be ${name}`);
  }

  /** Kept from its first use on: most agents of most nodes are never asked. */
  get ddl(): AgentDDL {
    this.#ddl ??= this.#read();
    return this.#ddl;
  }

  /** Whether it was made of these; nothing of it has changed then. */
  isMadeOf(bundle: string, resources: Params): boolean {
    return this.bundle === bundle && this.#resources === resources;
  }

  /** Input as it may be written to a log. */
  withoutSecrets(data: unknown): unknown {
    if (this.#secrets.length === 0 || typeof data !== 'object' || data === null || Array.isArray(data)) return data;
    const isSecret = (key: string) => this.#secrets.includes(key.toLowerCase());
    return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, isSecret(key) ? '(masked)' : value]));
  }

  #read(): AgentDDL {
    return readDdl(this.#document, `the DDL of ${this.#origin}`);
  }
}

/** An agent is served unless `plugin.<agent>.activate_agent` says no; what is no yes is a no, as in Choria. */
function isActivated(config: Params, agent: string): boolean {
  const value = config[`plugin.${agent}.activate_agent`];
  return value === undefined || /^(1|yes|true|y|t)$/i.test(String(value));
}

export class AgentList {
  readonly #host: Host;
  #agents: ReadonlyMap<string, Agent> = new Map();
  #names: readonly string[] = [];
  /** What was said of a DDL, by agent, so that it is said once. */
  readonly #warned = new Map<string, string>();

  constructor(host: Host) {
    this.#host = host;
  }

  get names(): readonly string[] {
    return this.#names;
  }

  get(name: string): Agent | undefined {
    return this.#agents.get(name);
  }

  all(): readonly Agent[] {
    return [...this.#agents.values()];
  }

  /** Asks the host which agents there are. One without a DDL that can be read is left out, and the log says why. */
  async refresh(): Promise<void> {
    const agents = new Map<string, Agent>();
    for (const { name, bundle, resources, state } of await this.#host.plugins.list('agent')) {
      if (state === 'off' || !isActivated(this.#host.config, name) || !this.#mayServe(name)) continue;
      const before = this.#agents.get(name);
      try {
        if (before?.isMadeOf(bundle, resources)) {
          agents.set(name, before);
          continue;
        }
        agents.set(name, new Agent(name, bundle, resources));
        // Ours are looked at by tests.
        if (bundle !== this.#host.bundle) this.#warn(name, ddlWarnings('agent', resources.ddl));
      } catch (error) {
        this.#host.log.error((error as Error).message);
      }
    }
    this.#agents = agents;
    this.#names = ['discovery', ...agents.keys()].sort();
  }

  /** While a node is provisioned anybody on that network may ask it. */
  #mayServe(name: string): boolean {
    return this.#host.config['plugin.muster.provisioning.active'] !== true || provisioningAgents.includes(name);
  }

  #warn(name: string, warnings: readonly string[]): void {
    const text = warnings.join('; ');
    if (text !== '' && this.#warned.get(name) !== text) this.#host.log.warn(`the DDL of agent/${name}: ${text}`);
    this.#warned.set(name, text);
  }
}
