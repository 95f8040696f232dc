// A provisioning network for tests: a real nats-server with TLS that asks for no certificate, and a provisioner that does what it
// is told, message by message, as Choria's does without security of its own.

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, sign } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import { distributionRoot } from '../../core/host/distribution.ts';
import { Runtime } from '../../core/host/runtime.ts';
import type { StopRequest } from '../../core/sdk/typescript/index.ts';
import { findNatsServer } from '../../plugins/broker/program.ts';
import { type Authority, issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { emptyFilter } from '../../plugins/wire/filter.ts';
import { provisioningEntries } from '../../plugins/wire/provisioning/mode.ts';
import { newRequestId, type RpcReply, readRpcReply } from '../../plugins/wire/rpc.ts';
import { nodeSubject, replySubject } from '../../plugins/wire/subjects.ts';
import { makeProvisioningToken, type ProvisioningClaims, readProvisioningToken } from '../../plugins/wire/tokens/provisioning.ts';
import {
  readSecureReply,
  readTransport,
  requestText,
  secureRequestText,
  transportBytes,
} from '../../plugins/wire/v1/messages.ts';
import * as v2Messages from '../../plugins/wire/v2/messages.ts';
import { freePort, temporaryFolder, until } from './folders.ts';
import { startHost, type TestHost } from './hosts.ts';
import { root } from './languages.ts';
import { ed25519Keys } from './provisioning.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
export const secret = 's3cret-of-the-overlay';

export interface Event {
  readonly subject: string;
  readonly identity: string;
  readonly component: string;
  readonly type: string;
}

export interface Asked {
  readonly caller?: string;
  readonly sender?: string;
}

/** Signs tokens of this network. */
const issuer = { algorithm: 'EdDSA', key: ed25519Keys().privateKey } as const;

/** Signed as a provisioner does that has a token; the node verifies nothing. */
function ofProvisioner(request: string): string {
  const bytes = Buffer.from(request);
  return v2Messages.secureRequestText({ request: bytes, signature: sign(null, bytes, issuer.key), caller: 'of.the.provisioner' });
}

export class ProvisioningNetwork {
  readonly folder: string;
  readonly port: number;
  readonly authority: Authority;
  readonly token: string;
  readonly events: Event[] = [];
  readonly nodes: NodeProcess[] = [];
  readonly runtime = new Runtime();
  readonly #hosts: TestHost[] = [];
  readonly #remove: () => void;
  #server: ChildProcess | undefined;
  #connection: NatsConnection | undefined;

  private constructor(folder: string, port: number, authority: Authority, token: string, remove: () => void) {
    this.folder = folder;
    this.port = port;
    this.authority = authority;
    this.token = token;
    this.#remove = remove;
  }

  static async start(claims: Partial<ProvisioningClaims> = {}, shared?: Authority): Promise<ProvisioningNetwork> {
    const { path, remove } = temporaryFolder();
    const port = await freePort();
    const authority = shared ?? (await openAuthority(join(path, 'ca'), 'Test CA'));
    const token = await tokenWith({ chu: `127.0.0.1:${port}`, ...claims });
    const network = new ProvisioningNetwork(path, port, authority, token, remove);
    await network.startBroker();
    return network;
  }

  async startBroker({ tls = true }: { readonly tls?: boolean } = {}): Promise<void> {
    const { cert, key } = await issueFiles(this.authority, { commonName: 'provisioning-broker.test', names: ['127.0.0.1'] });
    const config = join(this.folder, 'nats.conf');
    writeFileSync(
      config,
      [
        `listen: "127.0.0.1:${this.port}"`,
        ...(tls ? [`tls { cert_file: "${cert}", key_file: "${key}", verify: false }`] : []),
        `authorization { token: "${this.token}" }`,
        '',
      ].join('\n'),
    );
    this.#server = spawn(findNatsServer(process.env, root), ['-c', config], { stdio: 'ignore' });
    this.#connection = await until('the provisioning broker listens', () =>
      connect({
        servers: `127.0.0.1:${this.port}`,
        token: this.token,
        ...(tls && { tls: { rejectUnauthorized: false } }),
        reconnect: true,
        maxReconnectAttempts: -1,
      }).catch(() => undefined),
    );
    for (const subject of ['choria.lifecycle.event.>'])
      this.#connection.subscribe(subject, {
        callback: (_error, message) => {
          const { data } = message.json() as { data: Omit<Event, 'subject' | 'type'> };
          this.events.push({ subject: message.subject, type: message.subject.split('.')[3] ?? '', ...data });
        },
      });
    await this.#connection.flush();
  }

  get connection(): NatsConnection {
    if (!this.#connection) throw new Error('the network is not up');
    return this.#connection;
  }

  /** A node in a process and a folder of its own, with no configuration but this token, and so the name of this machine. */
  node(options: NodeProcessOptions = {}, identity = hostname()): NodeProcess {
    const folder = join(this.folder, `node-${this.nodes.length}`);
    mkdirSync(folder, { recursive: true });
    if (options.token !== null) writeFileSync(join(folder, 'provisioning.jwt'), options.token ?? this.token, { mode: 0o600 });
    const node = new NodeProcess(folder, identity, options);
    this.nodes.push(node);
    return node;
  }

  /** A node in this process; its folder has no configuration either. */
  async hosted(identity: string, { inlineAs, config = {}, bundles = [] }: HostedOptions = {}): Promise<HostedNode> {
    const folder = join(this.folder, identity);
    mkdirSync(folder, { recursive: true });
    const tokenFile = join(folder, 'provisioning.jwt');
    writeFileSync(tokenFile, this.token, { mode: 0o600 });
    const configFile = join(folder, 'server.conf');
    const stops: StopRequest[] = [];
    const claims = await readProvisioningToken(this.token);
    const host = await startHost({
      distribution: true,
      services: ['server'],
      runtime: this.runtime,
      configFile,
      bundles,
      ...(inlineAs && { inlineAs }),
      config: { ...provisioningEntries({ claims, tokenFile, configFile }), identity, ...config },
      onStopRequest: (request) => void stops.push(request),
    });
    this.#hosts.push(host);
    await this.sees('startup', identity);
    return { host, folder, configFile, stops };
  }

  async sees(type: string, identity: string, component = 'provision_mode_server', least = 1): Promise<Event> {
    const fits = (event: Event) => event.type === type && event.identity === identity && event.component === component;
    return until(`${identity} tells ${type} as ${component}`, () => {
      const found = this.events.filter(fits);
      return found.length >= least ? found.at(-1) : undefined;
    });
  }

  /** One request, unsigned, and its reply. */
  async ask(
    identity: string,
    action: string,
    data: object = {},
    asked: Asked = {},
    agent = 'choria_provision',
  ): Promise<RpcReply> {
    const { caller = 'choria=provisioner.mcollective', sender = 'provisioner.test' } = asked;
    const id = newRequestId();
    const replyTo = replySubject('provisioning', caller, id);
    const fields = { id, sender, caller, collective: 'provisioning', agent, ttl: 60, time: Math.floor(Date.now() / 1000) };
    const request = { ...fields, filter: emptyFilter, body: JSON.stringify({ agent, action, data }) };
    const headers = { replyTo, sender, seenBy: [['', sender, '']] };
    const { v2 = false } = await readProvisioningToken(this.token);
    const payload = v2
      ? v2Messages.transportBytes(ofProvisioner(v2Messages.requestText(request)), headers)
      : transportBytes(secureRequestText(requestText(request), 'insecure', 'insecure'), headers);
    const answers = this.connection.subscribe(replyTo, { max: 1, timeout: 12_000 });
    this.connection.publish(nodeSubject('provisioning', identity), payload);
    for await (const { data: answer } of answers)
      return readRpcReply(
        v2
          ? v2Messages.readSecureReply(v2Messages.readTransport(answer).data).body
          : readSecureReply(readTransport(answer).data).body,
      );
    throw new Error(`${identity} did not answer ${action}`);
  }

  async stopBroker(): Promise<void> {
    await this.#connection?.close();
    await endOf(this.#server, 'SIGKILL');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async stop(): Promise<void> {
    for (const node of this.nodes) await node.kill();
    for (const host of this.#hosts) await host.stop();
    this.runtime.close();
    await this.stopBroker();
    this.#remove();
  }
}

export interface HostedOptions {
  readonly bundles?: readonly string[];
  readonly inlineAs?: 'persistent';
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface HostedNode {
  readonly host: TestHost;
  readonly folder: string;
  readonly configFile: string;
  /** What the node asked its host for. */
  readonly stops: readonly StopRequest[];
}

export function tokenWith(claims: Partial<ProvisioningClaims>, validitySeconds = 3_600): Promise<string> {
  return makeProvisioningToken({ claims: { cht: secret, chpd: true, ...claims }, validitySeconds }, issuer);
}

export interface NodeProcessOptions {
  /** Null: there is none. */
  readonly token?: string | null;
  /** Lines of a configuration file that is there from the beginning. */
  readonly config?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class NodeProcess {
  readonly folder: string;
  readonly identity: string;
  readonly configFile: string;
  readonly #env: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;
  #log = '';

  constructor(folder: string, identity: string, { config, env = {} }: NodeProcessOptions) {
    this.folder = folder;
    this.identity = identity;
    this.#env = env;
    this.configFile = join(folder, 'server.conf');
    if (config !== undefined) writeFileSync(this.configFile, config, { mode: 0o600 });
  }

  get log(): string {
    return this.#log;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get exitCode(): number | null {
    return this.#child?.exitCode ?? null;
  }

  start(): this {
    const child = spawn(
      process.execPath,
      [main, 'run', 'server', '--config', this.configFile, '--state', join(this.folder, 'state')],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...this.#env } },
    );
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.#log += chunk.toString();
      });
    this.#child = child;
    return this;
  }

  has(file: string): boolean {
    return existsSync(join(this.folder, file));
  }

  async logs(text: string | RegExp, limitMs = 30_000): Promise<void> {
    await until(
      `${this.identity} says ${text}; it said ${this.#log.slice(-2_000)}`,
      () => (typeof text === 'string' ? this.#log.includes(text) : text.test(this.#log)),
      limitMs,
    );
  }

  /** Its exit code. */
  async ended(): Promise<number | null> {
    const child = this.#child;
    if (child && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child?.exitCode ?? null;
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    return endOf(this.#child, signal);
  }
}

async function endOf(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

export const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
