// The port for those who show a token in place of a certificate. Nodes and clients are real ones; what only an intruder would
// do is done by bare connections.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { tokenWithProof } from '../../core/capabilities/nonce.ts';
import { callerHash } from '../../plugins/wire/subjects.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';
import { goProgram } from '../support/provisioning.ts';
import {
  clientToken,
  organizationSeed,
  publicOf,
  revocation,
  seedOf,
  serverToken,
  signingKey,
  tokenConfig,
} from '../support/tokens.ts';

const { path: folder, remove } = temporaryFolder();

describe('a broker with a port for tokens', () => {
  let fleet: Fleet;
  let port: number;
  const open: NatsConnection[] = [];

  beforeAll(async () => {
    vi.stubEnv('NATS_SERVER', await goProgram('nats-server'));
    port = await freePort();
    fleet = await Fleet.start({
      'plugin.muster.broker.token_port': port,
      'plugin.choria.network.stream.store': join(folder, 'streams'),
      'plugin.security.issuer.names': 'choria',
      'plugin.security.issuer.choria.public': publicOf(organizationSeed),
    });
  }, 200_000);
  afterEach(async () => {
    for (const connection of open.splice(0)) await connection.close();
  });
  afterAll(async () => {
    await fleet?.stop();
    vi.unstubAllEnvs();
    remove();
  });

  const authority = () => join(fleet.folder, 'ca/ca.pem');
  const holder = (config: Readonly<Record<string, string>>) => ({
    ...config,
    'plugin.security.choria.ca': authority(),
    'plugin.choria.middleware_hosts': `localhost:${port}`,
  });
  const client = async (callerid: string, permissions: Readonly<Record<string, boolean>>): Promise<TestClient> =>
    fleet.client('jump.test', holder(tokenConfig(folder, callerid, await clientToken(callerid, permissions))));

  async function enter(token: string | undefined, seedOwner = 'up=anna', more: object = {}): Promise<NatsConnection> {
    const seedFile = join(folder, `${seedOwner}.entering.key`);
    writeFileSync(seedFile, seedOf(seedOwner));
    const connection = await connect({
      servers: `localhost:${port}`,
      tls: { caFile: authority() },
      reconnect: false,
      inboxPrefix: `choria.reply.${callerHash(seedOwner)}`,
      ...(token !== undefined && { authenticator: tokenWithProof(token, seedFile) }),
      ...more,
    });
    open.push(connection);
    return connection;
  }

  test('lets nodes and users with tokens meet, none of whom has a certificate', async () => {
    await fleet.node('n1.test', { config: holder(tokenConfig(folder, 'n1.test', await serverToken('n1.test'))) });
    const anna = await client('up=anna', { fleet_management: true });
    const { replies } = await anna.call({ agent: 'rpcutil', action: 'ping', data: {} });
    expect(replies.map(({ sender, statuscode }) => [sender, statuscode])).toEqual([['n1.test', 0]]);
  });

  test('lets them meet those on the port for certificates', async () => {
    await fleet.node('n2.test', {
      config: {
        ...tokenConfig(folder, 'n2.test', await serverToken('n2.test')),
        ...Object.fromEntries(
          Object.entries(await fleet.certificate('n2.test')).flatMap(([key, value]) =>
            key.startsWith('plugin.security.file.') ? [[key.replace('.file.', '.choria.'), value]] : [],
          ),
        ),
      },
    });
    const anna = await client('up=anna', { fleet_management: true });
    await until('both nodes answer', async () => (await anna.fleet.ping()).answers.length === 2);
  });

  test('lets in whoever has a policy in his token, which makes it long', async () => {
    const opaPolicy = `package io.choria.aaasvc\n${'# why\n'.repeat(4_000)}`;
    const connection = await enter(await clientToken('up=anna', {}, { opaPolicy }));
    expect(connection.isClosed()).toBe(false);
  });

  test('gives users the streams that their token says, those of the fleet', async () => {
    const operator = await fleet.connection();
    const { jetstreamManager } = await import('@nats-io/jetstream');
    await (await jetstreamManager(operator)).streams.add({ name: 'EVENTS', subjects: ['events.>'] });
    const allowed = await enter(await clientToken('up=anna', { streams_user: true }));
    const answer = await allowed.request('$JS.API.STREAM.INFO.EVENTS', '', { timeout: 20_000 });
    expect(answer.json()).toMatchObject({ config: { name: 'EVENTS' } });
    const admin = await allowed.request('$JS.API.STREAM.DELETE.EVENTS', '', { timeout: 500 }).catch((error: Error) => error);
    expect(admin).toBeInstanceOf(Error);
  });

  test('takes what users put into buckets, with a right to streams', async () => {
    const { Kvm } = await import('@nats-io/kv');
    const store = await new Kvm(await fleet.connection()).create('NOTES');
    const anna = await enter(await clientToken('up=anna', { streams_user: true }));
    await (await new Kvm(anna).open('NOTES')).put('greeting', 'hello');
    expect((await store.get('greeting'))?.string()).toBe('hello');
    const bert = await enter(await clientToken('up=bert', {}), 'up=bert');
    bert.publish('$KV.NOTES.greeting', 'goodbye');
    await bert.flush();
    expect((await store.get('greeting'))?.string()).toBe('hello');
  });

  test('lets nobody with a right to streams undo what was revoked', async () => {
    const { Kvm } = await import('@nats-io/kv');
    const revoked = await new Kvm(await fleet.connection()).create('MUSTER_REVOKED');
    const others = await new Kvm(await fleet.connection()).create('OTHERS');
    await revoked.put('jti.x', 'revoked');
    await others.put('jti.x', 'something');
    const erase = (by: NatsConnection, bucket: string, api = '$JS.API', timeout = 1_000) =>
      by.request(`${api}.STREAM.MSG.DELETE.KV_${bucket}`, JSON.stringify({ seq: 1 }), { timeout });
    const anna = await enter(await clientToken('up=anna', { streams_user: true }));
    const isErased = async () =>
      (await erase(anna, 'OTHERS').catch(() => undefined))?.json<{ success?: boolean }>().success === true;
    await until('it reaches the broker of the fleet', isErased);
    for (const api of ['$JS.API', '$JS.broker-test.API'])
      await expect(erase(anna, 'MUSTER_REVOKED', api)).rejects.toThrow(/permissions violation|timeout/i);
    expect((await revoked.get('jti.x'))?.string()).toBe('revoked');
    const root = await enter(await clientToken('up=root', { org_admin: true }), 'up=root');
    expect((await erase(root, 'MUSTER_REVOKED', '$JS.API', 20_000)).json()).toMatchObject({ success: true });
  });

  test('keeps users out of the inboxes of others', async () => {
    const anna = await enter(await clientToken('up=anna', { fleet_management: true }));
    const problems: string[] = [];
    const note = (error: Error | null) => {
      if (error) problems.push(error.message);
    };
    anna.subscribe(`choria.reply.${callerHash('up=bert')}.>`, { callback: note });
    anna.subscribe('choria.node.>', { callback: note });
    await until('both are refused', () => problems.length === 2);
    expect(problems.join(' ')).toMatch(/permissions violation.*permissions violation/i);
  });

  test('refuses whoever has no token, an altered one, or one of somebody else', async () => {
    await expect(enter(undefined)).rejects.toThrow(/authorization violation/i);
    const token = await clientToken('up=anna', {});
    await expect(enter(token, 'up=bert')).rejects.toThrow(/authorization violation/i);
    await expect(enter(token, 'up=anna', { authenticator: undefined, token })).rejects.toThrow(/authorization violation/i);
    await expect(enter(await clientToken('up=anna', {}, { by: '77'.repeat(32) }))).rejects.toThrow(/authorization violation/i);
    const past = await clientToken('up=anna', {}, { now: new Date(Date.now() - 7_200_000) });
    await expect(enter(past)).rejects.toThrow(/authorization violation/i);
    const told = (fleet.broker?.log ?? []).map(({ message }) => message).join('\n');
    expect(told).toContain('there is no token');
    expect(told).toContain('signed with another key than that of the token');
    expect(told).toContain('is not signed with the key that the token is for');
    expect(told).toContain('the token has expired');
    expect(told).not.toContain(token);
  });

  test('refuses whose token was revoked, and cuts off who is connected with it', async () => {
    const { Kvm } = await import('@nats-io/kv');
    const store = await new Kvm(await fleet.connection()).create('MUSTER_REVOKED');
    const [carl, dora] = [await clientToken('up=carl', {}), await clientToken('up=dora', {})];
    const [connected, other] = [await enter(carl, 'up=carl'), await enter(dora, 'up=dora')];
    const byStranger = await revocation({ kind: 'callerid', value: 'up=dora' }, { key: signingKey('77'.repeat(32)) });
    await store.put(byStranger.key, byStranger.value);
    const stolen = await revocation({ kind: 'public_key', value: publicOf(seedOf('up=carl')), reason: 'laptop lost' });
    await store.put(stolen.key, stolen.value);
    await until('it is cut off', () => connected.isClosed());
    await expect(enter(carl, 'up=carl')).rejects.toThrow(/authorization violation/i);
    expect(other.isClosed()).toBe(false);
    expect((await enter(dora, 'up=dora')).isClosed()).toBe(false);
    const told = (fleet.broker?.log ?? []).map(({ message }) => message).join('\n');
    expect(told).toContain('the connection of up=carl is ended, since its token was revoked');
    expect(told).toContain('was refused: the token was revoked: laptop lost');
    const restored = await revocation({ kind: 'public_key', value: publicOf(seedOf('up=carl')), action: 'restore' });
    await store.put(restored.key, restored.value);
    await until('it is good again', () => enter(carl, 'up=carl').catch(() => undefined));
  });

  test('cuts a connection off when its token ends', async () => {
    const connection = await enter(await clientToken('up=anna', {}, { validitySeconds: 10 }));
    await connection.closed();
    expect(connection.isClosed()).toBe(true);
  });

  test('a version of the bundle that takes over ends what the one before let in, and lets others come back', async () => {
    const { Kvm } = await import('@nats-io/kv');
    const store = await new Kvm(await fleet.connection()).create('MUSTER_REVOKED');
    const erik = await enter(await clientToken('up=erik', {}), 'up=erik', { reconnect: true, reconnectTimeWait: 100 });
    const frida = await enter(await clientToken('up=frida', {}), 'up=frida', { reconnect: true, reconnectTimeWait: 100 });
    const statuses: string[] = [];
    void (async () => {
      for await (const { type } of frida.status()) statuses.push(type);
    })();
    const plugin = fleet.broker?.host.plugin('service', 'broker');
    const version = await plugin?.prepare({ ...plugin.spec, runner: 'persistent' });
    await (await version?.commit())?.drained;
    const stolen = await revocation({ kind: 'public_key', value: publicOf(seedOf('up=erik')) });
    await store.put(stolen.key, stolen.value);
    await until('one is cut off for good', () => erik.isClosed());
    await until('the other came back', () => statuses.includes('reconnect'));
    await frida.flush();
  });
});

describe('a port for tokens', () => {
  test('is not opened where nobody is trusted, or where nats-server can not ask', async () => {
    const port = await freePort();
    await expect(Fleet.start({ 'plugin.muster.broker.token_port': port })).rejects.toThrow('nobody');
    await expect(
      Fleet.start({
        'plugin.muster.broker.token_port': port,
        'plugin.choria.network.client_signer_cert': publicOf(organizationSeed),
      }),
    ).rejects.toThrow('needs nats-server 2.10 or later');
  });
});
