// External agents of Choria as plugins: found in folders, asked whether they want to be active, announced, run.

import { dirname, join } from 'node:path';
import { type Call, definePlugin, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { NodeFiles } from '../wire/node-files.ts';
import { type FoundAgent, findAgents, findExecutable } from './find.ts';
import { protocols, RunError, runAgent } from './run.ts';

interface Config {
  readonly libdir?: readonly string[];
  readonly 'plugin.choria.agent_provider.mcorpc.libdir'?: readonly string[];
  readonly 'plugin.yaml'?: readonly string[];
}

interface Invocation {
  readonly agent: string;
  readonly action: string;
  readonly data: unknown;
  readonly request?: {
    readonly id?: string;
    readonly caller?: string;
    readonly sender?: string;
    readonly collective?: string;
    readonly time?: number;
    readonly ttl?: number;
  };
}

interface Reply {
  readonly statuscode: number;
  readonly statusmsg: string;
  readonly data: unknown;
}

/** The last answer of an agent that did not want to be active, or could not say. */
interface Declined {
  readonly stamp: string;
  readonly times: number;
  /** Unix milliseconds. */
  readonly askAgainAt: number;
}

const scanMs = 500;
const activationMs = 2_000;
/** An agent that declined is asked again after this, then after twice as long and so on. */
const askAgainMs = 5_000;
const longestAskAgainMs = 300_000;
const aborted = 1;
/** The schema of replies names 0 to 5, programs may use a byte. */
const highestStatus = 255;

export default definePlugin({
  kind: 'agents',
  version: '1.0.0',
  create: async (host) => {
    const { configFile } = await host.control.info();
    const agents = new ChoriaAgents(host, configFile === null ? '/etc/choria' : dirname(configFile));
    return {
      methods: { 'agent/invoke': (params: Invocation, call: Call) => agents.invoke(params, call) },
      activate: () => agents.start(),
    };
  },
});

class ChoriaAgents {
  readonly #host: Host;
  readonly #libdirs: readonly string[];
  readonly #configFolder: string;
  readonly #files: NodeFiles;
  readonly #problems = new Map<string, string>();
  readonly #declined = new Map<string, Declined>();
  /** Those that are active. */
  #active: ReadonlyMap<string, FoundAgent> = new Map();
  #announced = '';

  constructor(host: Host, configFolder: string) {
    const config = host.config as Config;
    this.#host = host;
    this.#configFolder = configFolder;
    this.#libdirs = config['plugin.choria.agent_provider.mcorpc.libdir'] ?? config.libdir ?? [];
    this.#files = new NodeFiles({ facts: config['plugin.yaml'] ?? [], classes: undefined }, host.log);
  }

  async start(): Promise<void> {
    if (this.#libdirs.length === 0) return;
    await this.#reconcile();
    await this.#host.timers.set({ id: 'scan', everyMs: scanMs }, () => this.#reconcile());
  }

  /** Compares what is there with what is known; asks new and changed agents whether they want to be active. */
  async #reconcile(): Promise<void> {
    const now = Date.now();
    const { agents, problems } = findAgents(this.#libdirs, now);
    for (const [file, problem] of problems) {
      if (this.#problems.get(file) !== problem) this.#host.log.warn(problem);
      this.#problems.set(file, problem);
    }
    for (const name of this.#declined.keys()) if (!agents.has(name)) this.#declined.delete(name);
    const considered = await Promise.all([...agents.values()].map((agent) => this.#consider(agent, now)));
    const active = considered.filter((agent) => agent !== undefined);
    this.#active = new Map(active.map((agent) => [agent.name, agent]));
    const stamp = active.map((agent) => agent.stamp).join('|');
    if (stamp === this.#announced) return;
    this.#announced = stamp;
    await this.#host.announce.set(
      active.map(({ name, ddl }) => ({
        kind: 'agent',
        name,
        description: ddl.metadata.description,
        version: ddl.metadata.version,
        resources: { ddl },
      })),
    );
    this.#host.log.info(`external agents: ${active.map(({ name }) => name).join(', ') || 'none'}`);
  }

  /** The version of an agent that is to be active: this one, or the one before it if this one declines. */
  async #consider(agent: FoundAgent, now: number): Promise<FoundAgent | undefined> {
    const present = this.#active.get(agent.name);
    if (present?.stamp === agent.stamp) return present;
    const last = this.#declined.get(agent.name);
    const before = last?.stamp === agent.stamp ? last : undefined;
    if (before && now < before.askAgainAt) return present;
    if (await this.#activates(agent)) {
      this.#declined.delete(agent.name);
      return agent;
    }
    const times = (before?.times ?? 0) + 1;
    const askAgainAt = now + Math.min(askAgainMs * 2 ** (times - 1), longestAskAgainMs);
    this.#declined.set(agent.name, { stamp: agent.stamp, times, askAgainAt });
    return present;
  }

  async #activates(agent: FoundAgent): Promise<boolean> {
    const executable = findExecutable(agent);
    if (executable === undefined) {
      this.#host.log.warn(
        `the external agent ${agent.name} is not activated: there is no ${join(dirname(agent.ddlFile), agent.name)}`,
      );
      return false;
    }
    const request = { $schema: schemaOf('activation_request'), protocol: protocols.activation, agent: agent.name };
    try {
      const reply = await runAgent(
        this.#host,
        {
          executable,
          agent: agent.name,
          protocol: protocols.activation,
          request,
          facts: undefined,
          configPath: this.#configPath(agent.name),
        },
        { deadlineMs: activationMs },
      );
      const wants = (reply as { activate?: unknown } | null)?.activate === true;
      if (!wants) this.#host.log.info(`the external agent ${agent.name} declined to be activated; it is asked again later`);
      return wants;
    } catch (error) {
      this.#host.log.warn(`the external agent ${agent.name} is not activated: ${(error as Error).message}`);
      return false;
    }
  }

  async invoke({ agent: name, action, data, request = {} }: Invocation, call: Call): Promise<Reply> {
    const agent = this.#active.get(name);
    if (!agent) return failed(`Cannot find DDL for agent ${name}`);
    const executable = findExecutable(agent);
    if (executable === undefined) return failed(`Cannot call external agent ${name}#${action}: agent executable was not found`);
    const body = {
      $schema: schemaOf('rpc_request'),
      protocol: protocols.request,
      agent: name,
      action,
      requestid: request.id ?? '',
      senderid: request.sender ?? '',
      callerid: request.caller ?? '',
      collective: request.collective ?? '',
      ttl: request.ttl ?? 0,
      msgtime: request.time ?? 0,
      data: data ?? {},
    };
    try {
      const reply = await runAgent(
        this.#host,
        {
          executable,
          agent: name,
          protocol: protocols.request,
          request: body,
          facts: this.#files.facts,
          configPath: this.#configPath(name),
        },
        { for: call, signal: call.signal },
      );
      return readReply(reply);
    } catch (error) {
      if (error instanceof RunError || (error instanceof PluginError && error.code === 'UNAVAILABLE'))
        return failed(`Could not call external agent ${name}#${action}: ${error.message}`);
      throw error;
    }
  }

  #configPath(agent: string): string {
    return join(this.#configFolder, 'plugin.d', agent);
  }
}

function schemaOf(name: string): string {
  return `https://choria.io/schemas/mcorpc/external/v1/${name}.json`;
}

/** What is absent is taken from a preset of success; what is there has to be of the right type. */
function readReply(value: unknown): Reply {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RunError('failed to decode reply json: it is not an object');
  const { statuscode = 0, statusmsg = 'OK', data } = value as Partial<Record<keyof Reply, unknown>>;
  if (!Number.isInteger(statuscode) || (statuscode as number) < 0 || (statuscode as number) > highestStatus)
    throw new RunError(
      `failed to decode reply json: statuscode ${JSON.stringify(statuscode)} is none from 0 to ${highestStatus}`,
    );
  if (typeof statusmsg !== 'string') throw new RunError('failed to decode reply json: statusmsg is not a string');
  if (data !== null && (typeof data !== 'object' || Array.isArray(data)))
    return failed('Could not set reply defaults: reply data is in the wrong format');
  return { statuscode: statuscode as number, statusmsg, data: data ?? {} };
}

function failed(statusmsg: string): Reply {
  return { statuscode: aborted, statusmsg, data: {} };
}
