// A small fleet for tests: a real broker with mutual TLS, nodes in this process, clients with certificates.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import { embed } from '../../core/host/embed.ts';
import { Runtime } from '../../core/host/runtime.ts';
import type { Needs } from '../../core/host/spec.ts';
import type { Host as PluginHost } from '../../core/sdk/typescript/plugin.ts';
import { FleetClient } from '../../plugins/fleet-client/client.ts';
import type { RpcOptions, RpcResult } from '../../plugins/fleet-client/options.ts';
import { callRpc } from '../../plugins/fleet-client/request.ts';
import { type Authority, issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { buildFilter, type FilterFlags } from '../../plugins/wire/filter.ts';
import { patience } from './discovery.ts';
import { freePort, temporaryFolder, until } from './folders.ts';
import { type LogLine, recordingLog, startHost, type TestHost } from './hosts.ts';

export interface NodeOptions {
  readonly facts?: object;
  readonly classes?: readonly string[];
  /** Lines by file name, such as `default`. Without any, everything is allowed. */
  readonly policies?: Readonly<Record<string, readonly string[]>>;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly bundles?: readonly string[];
  readonly watched?: readonly string[];
  readonly inlineAs?: 'persistent';
}

/** Of the program that a client is. */
const programNeeds: Needs = {
  bus: { connections: ['client'], open: true, publish: ['>'], subscribe: ['>'] },
  plugins: ['security', 'agent', 'discovery'],
  terminal: true,
};

export class Fleet {
  readonly folder: string;
  readonly port: number;
  readonly authority: Authority;
  readonly runtime = new Runtime();
  readonly nodes = new Map<string, TestHost>();
  broker: TestHost | undefined;
  readonly #brokerConfig: Readonly<Record<string, unknown>>;
  readonly #remove: () => void;
  readonly #embedded: { close(): Promise<void> }[] = [];
  readonly #connections: NatsConnection[] = [];

  private constructor(
    folder: string,
    port: number,
    authority: Authority,
    brokerConfig: Readonly<Record<string, unknown>>,
    remove: () => void,
  ) {
    this.#brokerConfig = brokerConfig;
    this.folder = folder;
    this.port = port;
    this.authority = authority;
    this.#remove = remove;
  }

  /** A broker that is ready, and no node yet. Fleets that meet share an authority. */
  static async start(brokerConfig: Readonly<Record<string, unknown>> = {}, shared?: Authority): Promise<Fleet> {
    const { path, remove } = temporaryFolder();
    const authority = shared ?? (await openAuthority(join(path, 'ca'), 'Test CA'));
    const fleet = new Fleet(path, await freePort(), authority, brokerConfig, remove);
    await fleet.startBroker();
    return fleet;
  }

  /** Starts the broker, again after `broker.stop()`, on the same port. */
  async startBroker(): Promise<void> {
    const certificate = await this.certificate('broker.test', ['localhost', '127.0.0.1']);
    const broker = await startHost({
      distribution: true,
      services: ['broker'],
      runtime: this.runtime,
      config: {
        ...certificate,
        identity: 'broker.test',
        'plugin.choria.network.listen_address': '127.0.0.1',
        'plugin.choria.network.client_port': this.port,
        'plugin.choria.network.tls_timeout': '10s',
        ...this.#brokerConfig,
      },
    });
    this.broker = broker;
    await until(
      'the broker is healthy',
      async () => ((await broker.host.call('service', 'broker', 'service/status', {})) as { healthy: boolean }).healthy,
      // One that joins a cluster with streams is not before it has a leader again.
      40_000,
    );
  }

  /** Configuration values for a certificate of this name. */
  async certificate(name: string, names: readonly string[] = [name]): Promise<Record<string, string>> {
    const { cert, key, ca } = await issueFiles(this.authority, { commonName: name, names });
    return {
      'plugin.security.provider': 'file',
      'plugin.security.file.certificate': cert,
      'plugin.security.file.key': key,
      'plugin.security.file.ca': ca,
    };
  }

  /** A node that is connected and has told so. */
  async node(identity: string, options: NodeOptions = {}): Promise<TestHost> {
    const own = join(this.folder, `${identity}-${this.nodes.size}`);
    mkdirSync(join(own, 'policies'), { recursive: true });
    writeFileSync(join(own, 'facts.json'), JSON.stringify(options.facts ?? {}));
    writeFileSync(join(own, 'classes.txt'), `${(options.classes ?? []).join('\n')}\n`);
    for (const [name, lines] of Object.entries(options.policies ?? {}))
      writeFileSync(join(own, 'policies', `${name}.policy`), `${lines.join('\n')}\n`);
    const node = await startHost({
      distribution: true,
      services: ['server'],
      runtime: this.runtime,
      ...(options.bundles && { bundles: options.bundles }),
      ...(options.watched && { watched: options.watched }),
      ...(options.inlineAs && { inlineAs: options.inlineAs }),
      configFile: join(own, 'server.conf'),
      config: {
        ...(await this.certificate('node.test')),
        identity,
        'plugin.choria.middleware_hosts': `127.0.0.1:${this.port}`,
        'plugin.yaml': join(own, 'facts.json'),
        classesfile: join(own, 'classes.txt'),
        rpcauthorization: options.policies !== undefined,
        ...options.config,
      },
    });
    this.nodes.set(`${identity}#${this.nodes.size}`, node);
    await until(`${identity} has started`, () => node.log.some(({ message }) => message.startsWith(`node ${identity} serves`)));
    return node;
  }

  /** A client with a certificate of this name. */
  /** @param inlineAs how its plugins are run that would be inline */
  async client(
    name = 'operator.mcollective',
    config: Readonly<Record<string, unknown>> = {},
    inlineAs?: 'persistent',
  ): Promise<TestClient> {
    const values = {
      ...(await this.certificate(name)),
      identity: name,
      'plugin.choria.middleware_hosts': `127.0.0.1:${this.port}`,
      ...patience,
      ...config,
    };
    const log: LogLine[] = [];
    let host: PluginHost;
    if (inlineAs) {
      const running = await startHost({ distribution: true, runtime: this.runtime, config: values, inlineAs });
      this.#embedded.push({ close: () => running.stop() });
      host = await running.host.attach('program', programNeeds);
    } else {
      const embedded = await embed({ log: recordingLog(log), runtime: this.runtime, needs: programNeeds, config: values });
      this.#embedded.push(embedded);
      host = embedded.host;
    }
    const client = new FleetClient(host);
    await client.open();
    return new TestClient(client, log);
  }

  /** A bare connection to the broker. */
  async connection(name = 'watcher.test'): Promise<NatsConnection> {
    const files = await issueFiles(this.authority, { commonName: name });
    const connection = await connect({
      servers: `nats://127.0.0.1:${this.port}`,
      tls: { certFile: files.cert, keyFile: files.key, caFile: files.ca },
    });
    this.#connections.push(connection);
    return connection;
  }

  async stop(): Promise<void> {
    for (const connection of this.#connections) await connection.close();
    for (const embedded of this.#embedded) await embedded.close();
    await Promise.all([...this.nodes.values()].map((node) => node.stop()));
    await this.broker?.stop();
    this.runtime.close();
    this.#remove();
  }
}

export class TestClient {
  readonly fleet: FleetClient;
  readonly log: LogLine[];

  constructor(client: FleetClient, log: LogLine[]) {
    this.fleet = client;
    this.log = log;
  }

  /** One action on one node; its only reply. @throws Error if it does not answer in time */
  async ask(
    identity: string,
    agent: string,
    action: string,
    data: Readonly<Record<string, unknown>> = {},
    options: Partial<RpcOptions> = {},
  ): Promise<RpcResult['replies'][number]> {
    const { replies } = await callRpc(this.fleet, { agent, action, data, targets: [identity], timeoutMs: 10_000, ...options });
    const [reply] = replies;
    if (!reply) throw new Error(`${identity} did not answer ${agent}#${action}`);
    return reply;
  }

  call(options: RpcOptions): Promise<RpcResult> {
    return callRpc(this.fleet, options);
  }

  /** Names that answer a broadcast with this filter, sorted. Where nobody should, it takes all of the time. */
  async find(flags: FilterFlags = {}, timeoutMs = 5_000): Promise<string[]> {
    const { answers } = await this.fleet.ping({ filter: buildFilter(flags), timeoutMs });
    return answers.map(({ sender }) => sender).sort();
  }
}
