// The agents of this node: those of other bundles and those that the fleet server answers for itself.

import type { Host, Params } from '../../core/sdk/typescript/index.ts';
import { type AgentDDL, DdlError, ddlWarnings, readDdl } from '../wire/ddl.ts';

export interface Agent {
  readonly name: string;
  readonly ddl: AgentDDL;
  /** Invokes by the agent contract. */
  readonly bundle: string;
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
      if (state === 'off' || !isActivated(this.#host.config, name)) continue;
      try {
        agents.set(name, { name, bundle, ddl: readAgentDdl(resources, `agent/${name} of the bundle ${bundle}`, name) });
        this.#warn(name, ddlWarnings('agent', resources.ddl));
      } catch (error) {
        this.#host.log.error((error as Error).message);
      }
    }
    this.#agents = agents;
    this.#names = ['discovery', ...agents.keys()].sort();
  }

  #warn(name: string, warnings: readonly string[]): void {
    const text = warnings.join('; ');
    if (text !== '' && this.#warned.get(name) !== text) this.#host.log.warn(`the DDL of agent/${name}: ${text}`);
    this.#warned.set(name, text);
  }
}

function readAgentDdl(resources: Params, origin: string, name: string): AgentDDL {
  if (resources.ddl === undefined)
    throw new DdlError(`${origin} hands out no DDL; bundle.yaml needs \`resources: {ddl: ./${name}.json}\``);
  const ddl = readDdl(resources.ddl, `the DDL of ${origin}`);
  if (ddl.metadata.name !== name)
    throw new DdlError(`the DDL of ${origin} is that of ${ddl.metadata.name}; its metadata.name has to be ${name}`);
  return ddl;
}
