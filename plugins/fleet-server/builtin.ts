// The agents that every node has: rpcutil and choria_util by their DDLs, and `muster`, which explains silence.

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type AnnouncedPlugin, type Call, type Host, type HostInfo, PluginError } from '../../core/sdk/typescript/index.ts';
import { DdlError, readDdl } from '../wire/ddl.ts';
import { lookup } from '../wire/facts.ts';
import type { NodeFiles } from '../wire/node-files.ts';
import type { NodeDocument } from '../wire/registration.ts';
import { type RpcReply, statusCodes } from '../wire/rpc.ts';
import { srvDomain } from '../wire/srv.ts';
import type { AgentList } from './agents.ts';
import { isProvisioning, mainCollective, type NodeConfig } from './config.ts';
import type { DataSources } from './data-sources.ts';
import { maxKept, type Outcomes } from './outcomes.ts';

export interface BuiltinParts {
  readonly host: Host;
  readonly identity: string;
  readonly config: NodeConfig;
  readonly agents: AgentList;
  readonly files: NodeFiles;
  readonly outcomes: Outcomes;
  readonly data: DataSources;
  readonly info: HostInfo;
}

type Input = Readonly<Record<string, unknown>>;
type Action = (input: Input, parts: BuiltinParts, call: Call) => unknown;

/** How Go writes a time that was not set. */
const noTime = '0001-01-01T00:00:00Z';

class Abort extends Error {}

/** What the fleet server announces; the same for every node of a process. */
export const builtinAgents: readonly AnnouncedPlugin[] = ['rpcutil', 'choria_util', 'muster'].map((name) => {
  const file = new URL(`../../ddl/agents/${name}.json`, import.meta.url);
  const ddl = readDdl(JSON.parse(readFileSync(file, 'utf8')), file.pathname);
  const { description, version } = ddl.metadata;
  return { kind: 'agent', name, description, version, resources: { ddl } };
});

/** `agent/invoke` for these agents. */
export async function invokeBuiltin(
  params: { agent: string; action: string; data: unknown },
  call: Call,
  parts: BuiltinParts,
): Promise<Omit<RpcReply, 'action'>> {
  const action = actions[params.agent]?.[params.action];
  if (!action)
    return {
      statuscode: statusCodes.unknownAction,
      statusmsg: `Unknown action ${params.action} for agent ${params.agent}`,
      data: {},
    };
  try {
    return { statuscode: statusCodes.ok, statusmsg: 'OK', data: await action((params.data ?? {}) as Input, parts, call) };
  } catch (error) {
    if (error instanceof Abort || error instanceof DdlError || error instanceof PluginError)
      return { statuscode: statusCodes.aborted, statusmsg: error.message, data: {} };
    throw error;
  }
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

const rpcutil: Readonly<Record<string, Action>> = {
  ping: () => ({ pong: Math.floor(Date.now() / 1000) }),
  get_fact: ({ fact }, { files }) => ({ fact, value: lookup(files.facts, text(fact)) ?? null }),
  get_facts: ({ facts }, { files }) => {
    const names = text(facts)
      .split(',')
      .map((name) => name.trim());
    return { values: Object.fromEntries(names.map((name) => [name, lookup(files.facts, name) ?? null])) };
  },
  inventory: (_input, { agents, files, config, info, data }) => ({
    agents: agents.names,
    classes: files.classes,
    collectives: config.collectives,
    data_plugins: isProvisioning(config) ? [] : data.names,
    facts: files.facts,
    machines: [],
    main_collective: mainCollective(config),
    version: info.version,
    upgradable: false,
  }),
  agent_inventory: (_input, { agents }) => ({ agents: agents.all().map(({ name, ddl }) => ({ agent: name, ...ddl.metadata })) }),
  collective_info: (_input, { config }) => ({ main_collective: mainCollective(config), collectives: config.collectives }),
  daemon_stats: (_input, { agents, outcomes, info }) => ({
    agents: agents.names,
    configfile: info.configFile ?? '',
    pid: info.pid,
    starttime: Math.floor(info.startedAt / 1000),
    threads: ['1 event loop'],
    times: { cstime: 0, cutime: 0, stime: 0, utime: 0 },
    version: info.version,
    ...outcomes.counters,
  }),
  get_data: async ({ source, query }, { data }, call) => {
    if (!data.has(text(source))) throw new Abort('Unknown data plugin');
    return data.get(text(source), query === undefined ? undefined : text(query), call);
  },
  get_config_item: ({ item }, { host }) => {
    const value = host.config[text(item)];
    if (value === undefined || text(item) === 'plugin.nats.pass') throw new Abort('Unknown key');
    return { item, value };
  },
};

const choriaUtil: Readonly<Record<string, Action>> = {
  info: async (_input, { host, config, info, identity }) => {
    const connection = await host.bus.info('node');
    return {
      security: 'choria',
      connector: 'choria',
      client_version: info.version,
      client_flavour: `muster nats.js ${info.node ?? ''}`.trim(),
      client_options: {
        servers: connection.servers ?? [],
        name: connection.name ?? '',
        secure: true,
        allow_reconnect: true,
        max_reconnect_attempts: -1,
      },
      client_stats: {
        in_msgs: connection.inMessages,
        out_msgs: connection.outMessages,
        in_bytes: connection.inBytes,
        out_bytes: connection.outBytes,
        reconnects: connection.reconnects,
      },
      connected_server: connection.server ?? '',
      facter_domain: '',
      facter_command: '',
      srv_domain: srvDomain({ ...config, identity }, process.env) ?? '',
      using_srv: config['plugin.choria.use_srv'],
      middleware_servers: connection.servers ?? [],
      path: process.env.PATH ?? '',
      choria_version: `muster ${info.version}`,
      secure_protocol: true,
      connector_tls: true,
    };
  },
  machine_states: () => ({ machine_ids: [], machine_names: [], states: {} }),
  machine_state: ({ instance, name, path }) => {
    if (instance === undefined && name === undefined && path === undefined) throw new Abort('No search criteria given');
    throw new Abort('No running machines');
  },
  machine_transition: ({ transition }) => {
    throw new Abort(`Could not perform ${text(transition)} transition: no machine matches`);
  },
};

const muster: Readonly<Record<string, Action>> = {
  why: ({ requestid }, { outcomes, identity, config }) => {
    const told = outcomes.why(text(requestid));
    const last = told.at(-1);
    const reason = last
      ? last.reason
      : `no request with this id reached ${identity} in the last ${maxKept} that it remembers, or its message could not be verified (the log says so); it is a member of ${config.collectives.join(', ')} and hears nothing of other collectives`;
    return { outcome: last?.outcome ?? 'unknown', reason, history: told };
  },
};

const actions: Readonly<Record<string, Readonly<Record<string, Action>>>> = { rpcutil, choria_util: choriaUtil, muster };

/** What registration plugins are handed. */
export async function nodeDocument(
  { host, identity, config, agents, files, outcomes, info }: BuiltinParts,
  certificateExpires: string | null,
): Promise<NodeDocument> {
  const { validated: valid, unvalidated: invalid, ...counters } = outcomes.counters;
  const { server } = await host.bus.info('node');
  return {
    agents: agents.all().map(({ ddl: { metadata } }) => metadata),
    classes: files.classes,
    facts: files.facts,
    status: {
      identity,
      uptime: Math.floor((Date.now() - info.startedAt) / 1000),
      connected_server: server ?? '',
      last_message: outcomes.lastMessage,
      provisioning_mode: isProvisioning(config),
      stats: { ...counters, valid, invalid },
      certificate_expires: certificateExpires ?? noTime,
      token_expires: noTime,
    },
    collectives: config.collectives,
    build_info: { version: info.version, sha: '' },
    machines: [],
  };
}

/** `data/get` for the sources `choria` and `config_item`. */
export async function getBuiltinData(
  { source, query }: { source: string; query?: string },
  parts: BuiltinParts,
): Promise<{ data: object | null }> {
  const { host, agents, files, outcomes, info, config } = parts;
  if (source === 'config_item') {
    const item = query ?? '';
    const value = item === 'plugin.nats.pass' ? undefined : host.config[item];
    return { data: { present: value !== undefined, value: value ?? null } };
  }
  const { server } = await host.bus.info('node');
  return {
    data: {
      agents: agents.names,
      agents_count: agents.names.length,
      classes: files.classes,
      classes_count: files.classes.length,
      configfile: info.configFile ?? '',
      connected_broker: server ?? '',
      cpus: availableParallelism(),
      license: 'Apache-2.0',
      machines: [],
      machines_count: 0,
      pid: info.pid,
      provisioning: isProvisioning(config),
      uptime: Math.floor((Date.now() - info.startedAt) / 1000),
      version: info.version,
      ...outcomes.counters,
    },
  };
}
