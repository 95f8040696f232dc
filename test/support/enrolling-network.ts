// A provisioning network for tests: a nats-server as nodes without certificates need it, tokens, provisioners in this process.

import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import { findNatsServer } from '../../plugins/broker/program.ts';
import { issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import type { Status } from '../../plugins/provisioner/status.ts';
import { type SigningKey, signToken } from '../../plugins/wire/tokens/jwt.ts';
import { makeProvisioningToken } from '../../plugins/wire/tokens/provisioning.ts';
import { freePort, temporaryFolder, until } from './folders.ts';
import { startHost, type TestHost } from './hosts.ts';
import { root } from './languages.ts';

export const secret = 's3cret';
const password = 'pr0visioner';

export interface NetworkOptions {
  readonly jetstream?: boolean;
}

export class ProvisioningNetwork {
  readonly folder: string;
  readonly port: number;
  readonly issuer: SigningKey = { algorithm: 'EdDSA', key: generateKeyPairSync('ed25519').privateKey };
  readonly #remove: () => void;
  readonly #hosts: TestHost[] = [];
  readonly #connections: NatsConnection[] = [];
  #process: ChildProcess | undefined;
  #files: Readonly<Record<string, string>> = {};

  private constructor(folder: string, port: number, remove: () => void) {
    this.folder = folder;
    this.port = port;
    this.#remove = remove;
  }

  static async start({ jetstream = true }: NetworkOptions = {}): Promise<ProvisioningNetwork> {
    const { path, remove } = temporaryFolder();
    const network = new ProvisioningNetwork(path, await freePort(), remove);
    const authority = await openAuthority(join(path, 'ca'), 'Provisioning CA');
    const files = await issueFiles(authority, { commonName: 'prov.test', names: ['prov.test', 'localhost', '127.0.0.1'] });
    network.#files = {
      'plugin.security.provider': 'file',
      'plugin.security.file.certificate': files.cert,
      'plugin.security.file.key': files.key,
      'plugin.security.file.ca': files.ca,
    };
    writeFileSync(network.verifyFile, seedPublic(network.issuer));
    writeFileSync(
      join(path, 'nats.conf'),
      `host: 127.0.0.1
port: ${network.port}
tls { cert_file: "${files.cert}", key_file: "${files.key}", verify: false, timeout: 5 }
${jetstream ? `jetstream { store_dir: "${join(path, 'js')}" }` : ''}
accounts { provisioning { ${jetstream ? 'jetstream: enabled, ' : ''}users: [
  { user: provisioner, password: "${password}" }
  { user: node, password: node, permissions: {
    subscribe: ["provisioning.node.>", "provisioning.broadcast.agent.*"],
    publish: ["choria.lifecycle.>", "provisioning.reply.>", "provisioning.registration.>"] } }
] }
overlay { users: [{ user: fleet, password: fleet }] } }
no_auth_user: fleet
`,
    );
    await network.startBroker();
    return network;
  }

  get verifyFile(): string {
    return join(this.folder, 'issuer.pub');
  }

  async startBroker(): Promise<void> {
    this.#process = spawn(findNatsServer(process.env, root), ['-c', join(this.folder, 'nats.conf')], { stdio: 'ignore' });
    await until('nats-server listens', () => accepts(this.port));
  }

  async killBroker(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  /** A connection as a node has it that waits, that of somebody who may do everything, or one to where enrolled nodes come up. */
  async connection(user: 'node' | 'provisioner' | 'overlay' = 'node'): Promise<NatsConnection> {
    const connection = await connect({
      servers: `nats://127.0.0.1:${this.port}`,
      ...(user !== 'overlay' && { user, pass: user === 'node' ? 'node' : password }),
      tls: { rejectUnauthorized: false },
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
    } as Parameters<typeof connect>[0]);
    this.#connections.push(connection);
    return connection;
  }

  token(claims: { readonly chpd?: boolean; readonly extensions?: object } = {}, validitySeconds = 3_600): Promise<string> {
    const all = {
      cht: secret,
      chs: false,
      chu: `nats://127.0.0.1:${this.port}`,
      chpd: true,
      extensions: null,
      ou: 'choria',
      ...claims,
    };
    return makeProvisioningToken({ claims: all as never, validitySeconds }, this.issuer);
  }

  /** Any claims, signed by the issuer or by somebody else. */
  sign(claims: Readonly<Record<string, unknown>>, key: SigningKey = this.issuer): Promise<string> {
    return signToken(claims, key);
  }

  /** What a provisioner has in its configuration file. */
  config(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
    return {
      ...this.#files,
      identity: 'prov.test',
      'plugin.choria.network.connect_timeout': '20s',
      'plugin.choria.middleware_hosts': `127.0.0.1:${this.port}`,
      'plugin.provisioner.broker_provisioning_password': password,
      'plugin.provisioner.token': secret,
      'plugin.provisioner.jwt_verify_cert': this.verifyFile,
      'plugin.provisioner.features.jwt': true,
      'plugin.provisioner.features.pki': true,
      'plugin.provisioner.retry_min': '100ms',
      'plugin.provisioner.overlay_hosts': `127.0.0.1:${this.port}`,
      'plugin.muster.ca.folder': join(this.folder, 'hook-ca'),
      ...more,
    };
  }

  /** A provisioner that is connected; without an election it leads. */
  async provisioner(
    more: Readonly<Record<string, unknown>> = {},
    options: { readonly inlineAs?: 'persistent'; readonly bundles?: readonly string[] } = {},
  ): Promise<TestHost> {
    const host = await startHost({ distribution: true, services: ['provisioner'], config: this.config(more), ...options });
    this.#hosts.push(host);
    return host;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.stop()));
    for (const connection of this.#connections) await connection.close();
    await this.killBroker();
    this.#remove();
  }
}

export function newIssuer(): SigningKey {
  return { algorithm: 'EdDSA', key: generateKeyPairSync('ed25519').privateKey };
}

function seedPublic({ key }: SigningKey): string {
  const { x = '' } = key.export({ format: 'jwk' });
  return Buffer.from(x, 'base64url').toString('hex');
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

export async function statusOf({ host }: TestHost): Promise<Status> {
  const { details } = (await host.call('service', 'provisioner', 'service/status', {})) as { details: Status };
  return details;
}
