// The listener of nodes that have no certificate yet: what such a node may do there, what it may not, and what keeps it
// from the fleet. The node is a bare connection, so that nothing but the broker holds it back.

import { existsSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { type ConnectionOptions, connect } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fleet } from '../support/fleet.ts';
import { freePort, isAlive, temporaryFolder, until } from '../support/folders.ts';
import { complaint, converse, Listener, sampleListener } from '../support/listener.ts';

const network = 'plugin.choria.network.provisioning';
const own = 'plugin.muster.broker.provisioning';
const provisioner = { user: 'provisioner', pass: 'pr0v' };
const node = { user: 'node', pass: 'n0de' };
const logins = {
  [`${network}.client_password`]: provisioner.pass,
  [`${own}.node_user`]: node.user,
  [`${own}.node_password`]: node.pass,
};

describe('the listener for provisioning', () => {
  let fleet: Fleet;
  let port: number;
  const store = temporaryFolder();
  let listener: Listener;

  beforeAll(async () => {
    port = await freePort();
    fleet = await Fleet.start({ [`${network}.port`]: port, 'plugin.choria.network.stream.store': store.path, ...logins });
    listener = new Listener(fleet, port);
  });
  afterAll(async () => {
    await listener?.close();
    await fleet?.stop();
    store.remove();
  });

  const enter = (options: ConnectionOptions) => listener.enter(options);

  test('a node and the provisioner talk as the protocol has it', async () => {
    expect(await converse(await enter(node), await enter(provisioner), 'n1.test')).toEqual(['up', 'who', 'me']);
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
    const before = listener.pids();
    expect(before).toHaveLength(2);
    expect(await listener.reload()).toBe('persistent');
    await until('the broker is healthy', () => listener.healthy());
    expect(listener.pids()).toEqual(before);
    expect(before.map(Number).every(isAlive)).toBe(true);
    await connection.flush();
  });

  test('a server that is killed comes back, and the other does not notice', async () => {
    const [first, second] = listener.pids();
    process.kill(Number(second), 'SIGKILL');
    await until('it is back', async () => listener.pids()[1] !== second && (await listener.healthy()));
    expect(listener.pids()[0]).toBe(first);
    await enter(node);
  });
});

describe('what it is started with', () => {
  const base = { [`${network}.client_password`]: 'x' };
  test.each([
    ['no password of the provisioner', {}, 'set plugin.choria.network.provisioning.client_password'],
    ['half a login of nodes', { ...base, [`${own}.node_user`]: 'n' }, 'set both of plugin.muster.broker.provisioning.node_user'],
    [
      'nodes as the provisioner',
      { ...base, [`${own}.node_user`]: 'provisioner', [`${own}.node_password`]: 'x' },
      "'provisioner' is the user of the provisioner",
    ],
    ['a key that is none', { ...base, [`${network}.signer_cert`]: '/no/file' }, 'there is no file /no/file'],
    ['an issuer without a key', { ...base, 'plugin.security.issuer.names': 'acme' }, 'set plugin.security.issuer.acme.public'],
  ])('%s: the error says what to set', async (_what, config, message) => {
    await expect(Fleet.start({ [`${network}.port`]: await freePort(), ...config })).rejects.toThrow(message);
  });

  test('a port that is taken: the error names its key', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    await expect(Fleet.start({ [`${network}.port`]: port, ...logins })).rejects.toThrow(
      `port ${port} is taken by another program; choose another with ${network}.port`,
    );
    taken.close();
  });

  test('the sample is what it needs; without TLS it warns, and of what nodes can see', async () => {
    const values = sampleListener();
    const { path, remove } = temporaryFolder();
    const port = await freePort();
    const fleet = await Fleet.start({
      ...values,
      'plugin.choria.network.stream.store': path,
      [`${network}.port`]: port,
      // Whatever the version of nats-server here is.
      [`${network}.signer_cert`]: '',
      [`${own}.tls`]: 'no',
    });
    const listener = new Listener(fleet, port);
    const node = { user: String(values[`${own}.node_user`]), pass: String(values[`${own}.node_password`]), tls: null };
    await (await listener.enter(node)).flush();
    expect(listener.warned('WITHOUT TLS')).toBe(true);
    expect(listener.warned('does not check tokens, and every node there sees what is sent to the others')).toBe(true);
    await listener.close();
    await fleet.stop();
    remove();
  });
});
