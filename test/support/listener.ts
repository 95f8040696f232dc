// The broker's listener for provisioning, as nodes and the provisioner see it: bare connections, and what they are refused.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ConnectionOptions, connect, type NatsConnection } from 'nats';
import { readConfigFile } from '../../core/config/dialect.ts';
import type { Fleet } from './fleet.ts';

/** What the sample of an overlay says about the listener. */
export function sampleListener(): Record<string, string> {
  const file = fileURLToPath(new URL('../../fixtures/overlays/provisioning/broker.conf', import.meta.url));
  const { entries } = readConfigFile(file, {});
  return Object.fromEntries(entries.filter(({ key }) => key.includes('.provisioning.')).map(({ key, value }) => [key, value]));
}

export class Listener {
  readonly fleet: Fleet;
  readonly port: number;
  readonly #open: NatsConnection[] = [];

  constructor(fleet: Fleet, port: number) {
    this.fleet = fleet;
    this.port = port;
  }

  /** A connection that is not made again when it is lost. */
  async enter(options: ConnectionOptions): Promise<NatsConnection> {
    const tls = { caFile: join(this.fleet.folder, 'ca/ca.pem') };
    const connection = await connect({ servers: `127.0.0.1:${this.port}`, tls, reconnect: false, ...options });
    this.#open.push(connection);
    return connection;
  }

  async close(): Promise<void> {
    for (const connection of this.#open.splice(0)) await connection.close();
  }

  /** Processes of both servers, that of the fleet first. */
  pids(): string[] {
    return ['nats-server', 'nats-server-provisioning'].flatMap((id) => {
      const file = `${this.fleet.broker?.folder}/plugins/service.broker/state/${id}.conf`;
      return spawnSync('pgrep', ['-f', file], { encoding: 'utf8' }).stdout.trim().split('\n').filter(Boolean);
    });
  }

  async healthy(): Promise<boolean> {
    const status = await this.fleet.broker?.host.call('service', 'broker', 'service/status', {});
    return (status as { healthy: boolean } | undefined)?.healthy ?? false;
  }

  /** A new version of the bundle takes over, as a process of its own. */
  async reload(): Promise<string | undefined> {
    const host = this.fleet.broker?.host;
    const plugin = host?.plugin('service', 'broker');
    const version = await plugin?.prepare({ ...plugin.spec, runner: 'persistent' });
    await (await version?.commit())?.drained;
    return host?.list('service').find(({ name }) => name === 'broker')?.runner;
  }

  /** Whether the broker warned of this. */
  warned(text: string): boolean {
    return this.fleet.broker?.log.some(({ level, message }) => level === 'warn' && message.includes(text)) ?? false;
  }
}

/** What nats-server holds against what a connection just did. */
export async function complaint(connection: NatsConnection, act: () => void): Promise<string> {
  const statuses = connection.status();
  act();
  for await (const status of statuses) if (status.type === 'error') return status.error.message;
  return 'the connection closed';
}

/** A conversation of a node and the provisioner as the protocol has it. @returns what each heard */
export async function converse(node: NatsConnection, provisioner: NatsConnection, identity: string): Promise<string[]> {
  const events = provisioner.subscribe('choria.lifecycle.>', { max: 1 });
  const replies = provisioner.subscribe('provisioning.reply.>', { max: 1 });
  const asked = node.subscribe(`provisioning.node.${identity}`, { max: 1 });
  for (const agent of ['discovery', 'rpcutil', 'choria_util', 'choria_provision'])
    node.subscribe(`provisioning.broadcast.agent.${agent}`);
  await Promise.all([node.flush(), provisioner.flush()]);
  const heard: string[] = [];
  node.publish('choria.lifecycle.event.startup.provision_mode_server', 'up');
  for await (const event of events) heard.push(event.string());
  provisioner.publish(`provisioning.node.${identity}`, 'who', { reply: 'provisioning.reply.x.1' });
  for await (const request of asked) {
    heard.push(request.string());
    node.publish(request.reply ?? '', 'me');
  }
  for await (const reply of replies) heard.push(reply.string());
  return heard;
}
