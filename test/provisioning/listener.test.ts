// The listener of nodes that have no certificate yet: what such a node may do there, what it may not, and what keeps it
// from the fleet. The node is a bare connection, so that nothing but the broker holds it back.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { type ConnectionOptions, connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fleet } from '../support/fleet.ts';
import { freePort, isAlive, temporaryFolder, until } from '../support/folders.ts';

const network = 'plugin.choria.network.provisioning';
const own = 'plugin.muster.broker.provisioning';
const provisioner = { user: 'provisioner', pass: 'pr0v' };
const node = { user: 'node', pass: 'n0de' };
const logins = {
  [`${network}.client_password`]: provisioner.pass,
  [`${own}.node_user`]: node.user,
  [`${own}.node_password`]: node.pass,
};

/** Of both servers, that of the fleet first. */
const pids = (fleet: Fleet): string[] =>
  ['nats-server', 'nats-server-provisioning'].flatMap((id) => {
    const file = `${fleet.broker?.folder}/plugins/service.broker/state/${id}.conf`;
    return spawnSync('pgrep', ['-f', file], { encoding: 'utf8' }).stdout.trim().split('\n').filter(Boolean);
  });

const healthy = async ({ broker }: Fleet): Promise<boolean> => {
  const status = await broker?.host.call('service', 'broker', 'service/status', {});
  return (status as { healthy: boolean } | undefined)?.healthy ?? false;
};

describe('the listener for provisioning', () => {
  let fleet: Fleet;
  let port: number;
  const store = temporaryFolder();
  const open: NatsConnection[] = [];

  beforeAll(async () => {
    port = await freePort();
    fleet = await Fleet.start({ [`${network}.port`]: port, 'plugin.choria.network.stream.store': store.path, ...logins });
  });
  afterAll(async () => {
    for (const connection of open) await connection.close();
    await fleet?.stop();
    store.remove();
  });

  const enter = async (options: ConnectionOptions): Promise<NatsConnection> => {
    const connection = await connect({
      servers: `127.0.0.1:${port}`,
      tls: { caFile: join(fleet.folder, 'ca/ca.pem') },
      reconnect: false,
      ...options,
    });
    open.push(connection);
    return connection;
  };
  /** What nats-server holds against what a connection just did. */
  const complaint = async (connection: NatsConnection, act: () => void): Promise<string> => {
    const statuses = connection.status();
    act();
    for await (const status of statuses) if (status.type === 'error') return status.error.message;
    return 'the connection closed';
  };

  test('a node and the provisioner talk as the protocol has it', async () => {
    const [near, far] = [await enter(node), await enter(provisioner)];
    const events = far.subscribe('choria.lifecycle.>', { max: 1 });
    const own = near.subscribe('provisioning.node.n1.test', { max: 1 });
    for (const agent of ['discovery', 'rpcutil', 'choria_util', 'choria_provision'])
      near.subscribe(`provisioning.broadcast.agent.${agent}`);
    const replies = far.subscribe('provisioning.reply.>', { max: 1 });
    await Promise.all([near.flush(), far.flush()]);
    near.publish('choria.lifecycle.event.startup.provision_mode_server', 'up');
    for await (const event of events) expect(event.string()).toBe('up');
    far.publish('provisioning.node.n1.test', 'who', { reply: 'provisioning.reply.x.1' });
    for await (const request of own) near.publish(request.reply ?? '', 'me');
    for await (const reply of replies) expect(reply.string()).toBe('me');
  });

  test.each([
    '>',
    'provisioning.>',
    'provisioning.reply.>',
    'choria.lifecycle.>',
    'provisioning.broadcast.agent.shell',
    '$SYS.>',
    '$KV.>',
  ])('a node may not subscribe to %s', async (subject) => {
    const connection = await enter(node);
    expect(await complaint(connection, () => void connection.subscribe(subject, { callback: () => undefined }))).toMatch(
      /permissions violation/i,
    );
  });

  test.each([
    'provisioning.node.n2.test',
    'provisioning.broadcast.agent.rpcutil',
    'mcollective.node.n2.test',
    '$JS.API.INFO',
    '$KV.X.y',
  ])('a node may not publish to %s', async (subject) => {
    const connection = await enter(node);
    expect(await complaint(connection, () => connection.publish(subject, 'x'))).toMatch(/permissions violation/i);
  });

  test('what is said there does not reach the fleet, nor the other way round', async () => {
    const [inside, outside, fence] = [await fleet.connection(), await enter(provisioner), await enter(provisioner)];
    const heard: string[] = [];
    for (const connection of [inside, fence])
      connection.subscribe('>', {
        callback: (_error, { subject }) => void heard.push(`${connection === inside ? 'fleet' : 'fence'} ${subject}`),
      });
    await Promise.all([inside.flush(), fence.flush()]);
    outside.publish('choria.lifecycle.event.startup.provision_mode_server', 'x');
    inside.publish('provisioning.node.n1.test', 'x');
    await Promise.all([outside.flush(), inside.flush()]);
    await Promise.all([inside.flush(), fence.flush()]);
    expect(heard.sort()).toEqual([
      'fence choria.lifecycle.event.startup.provision_mode_server',
      'fleet provisioning.node.n1.test',
    ]);
  });

  test.each([
    ['no credentials', {}],
    ['a wrong password', { user: 'node', pass: 'guess' }],
    ['a wrong password of the provisioner', { user: 'provisioner', pass: 'n0de' }],
    ['the user that certificates stand for in the fleet', { user: 'fleet', pass: '' }],
    ['a token', { token: 'eyJ' }],
  ])('%s is refused', async (_what, options) => {
    await expect(enter(options)).rejects.toThrow(/authorization/i);
  });

  test('a connection without TLS is refused', async () => {
    await expect(connect({ servers: `127.0.0.1:${port}`, ...node, reconnect: false, tls: null })).rejects.toThrow();
  });

  test('the fleet asks for a certificate still', async () => {
    await expect(
      connect({ servers: `127.0.0.1:${fleet.port}`, tls: { caFile: join(fleet.folder, 'ca/ca.pem') }, reconnect: false }),
    ).rejects.toThrow();
  });

  test('the provisioner keeps streams, in a folder of their own', async () => {
    const manager = await jetstreamManager(await enter(provisioner));
    await manager.streams.add({ name: 'QUEUE', subjects: ['queue.>'] });
    expect(await (await jetstreamManager(await fleet.connection())).streams.names().next()).toEqual([]);
    expect(existsSync(join(store.path, 'provisioning/jetstream/provisioning/streams/QUEUE'))).toBe(true);
  });

  test('a reload of the bundle leaves both servers running, and nodes connected', async () => {
    const connection = await enter(node);
    const before = pids(fleet);
    expect(before).toHaveLength(2);
    const plugin = fleet.broker?.host.plugin('service', 'broker');
    const version = await plugin?.prepare({ ...plugin.spec, runner: 'persistent' });
    await (await version?.commit())?.drained;
    await until('the broker is healthy', () => healthy(fleet));
    expect(fleet.broker?.host.list('service')).toContainEqual(expect.objectContaining({ name: 'broker', runner: 'persistent' }));
    expect(pids(fleet)).toEqual(before);
    expect(before.map(Number).every(isAlive)).toBe(true);
    await connection.flush();
  });

  test('a server that is killed comes back, and the other does not notice', async () => {
    const [first, second] = pids(fleet);
    process.kill(Number(second), 'SIGKILL');
    await until('it is back', async () => pids(fleet)[1] !== second && (await healthy(fleet)));
    expect(pids(fleet)[0]).toBe(first);
    await enter(node);
  });
});
