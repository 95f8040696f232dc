// A node and its broker over time: events, a broker that is killed, two nodes of one name, a reload under load.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost } from '../support/hosts.ts';

const shared = fileURLToPath(new URL('../../../shared', import.meta.url));

let fleet: Fleet;
let client: TestClient;
let nats: NatsConnection;
const events: { subject: string; event: Record<string, unknown> & { data: Record<string, unknown> } }[] = [];

beforeAll(async () => {
  fleet = await Fleet.start();
  nats = await fleet.connection();
  nats.subscribe('choria.lifecycle.event.>', {
    callback: (_error, message) => void events.push({ subject: message.subject, event: message.json() }),
  });
  await nats.flush();
  client = await fleet.client();
});
afterAll(() => fleet.stop());

test('a node does not serve an agent that its configuration leaves inactive', async () => {
  const config = { 'plugin.uptime.activate_agent': 'no', 'plugin.host.activate_agent': 'yes' };
  await fleet.node('choosy.test', { config });
  expect(await client.ask('choosy.test', 'uptime', 'show')).toMatchObject({
    statuscode: 2,
    statusmsg: expect.stringContaining('Unknown agent uptime'),
  });
  expect(await client.ask('choosy.test', 'host', 'load')).toMatchObject({ statuscode: 0 });
  expect(await client.find({ agents: ['uptime'] }, 1_000)).not.toContain('choosy.test');
});

describe('lifecycle events', () => {
  test('tell when a node comes and goes, as CloudEvents', async () => {
    const node = await fleet.node('mortal.test');
    const startup = await until('the start-up event came', () => events.find(({ event }) => event.subject === 'mortal.test'));
    expect(startup.subject).toBe('choria.lifecycle.event.startup.server');
    expect(startup.event).toMatchObject({
      specversion: '1.0',
      type: 'io.choria.lifecycle.v1.startup',
      source: 'io.choria.lifecycle',
      data: {
        protocol: 'io.choria.lifecycle.v1.startup',
        identity: 'mortal.test',
        component: 'server',
        id: startup.event.id,
        timestamp: expect.any(Number),
      },
    });
    await node.stop();
    const shutdown = await until('the shutdown event came', () =>
      events.find(({ event }) => event.type === 'io.choria.lifecycle.v1.shutdown'),
    );
    expect(shutdown.event.data).toMatchObject({ identity: 'mortal.test', component: 'server' });
  });

  test.skipIf(!existsSync(shared))('fit the official schemas', async () => {
    const { Ajv } = await import('ajv');
    const ajv = new Ajv({ strict: false, validateFormats: false });
    for (const { event } of events) {
      const name = String(event.type).split('.').at(-1);
      const {
        $schema: _draft,
        $id: _id,
        id: _old,
        ...schema
      } = JSON.parse(readFileSync(`${shared}/conformance/schemas/choria/lifecycle/v1/${name}.json`, 'utf8'));
      const validate = ajv.compile(schema);
      expect([name, validate(event.data), validate.errors]).toEqual([name, true, null]);
    }
    expect(events.length).toBeGreaterThan(1);
  });
});

test('two nodes of one identity: each logs the other, and the client reports the name', async () => {
  const first = await fleet.node('twin.test');
  const second = await fleet.node('twin.test');
  for (const node of [first, second])
    await until('each noticed the other', () =>
      node.log.some(({ message }) => message.includes('another node with the identity twin.test started')),
    );
  const { duplicates } = await client.fleet.ping();
  expect(duplicates).toEqual(['twin.test']);
  await Promise.all([first.stop(), second.stop()]);
});

test('the broker keeps streams over its restart', async () => {
  const { path, remove } = temporaryFolder();
  const own = await Fleet.start({ 'plugin.choria.network.stream.store': path });
  try {
    const connection = await own.connection();
    const manager = await jetstreamManager(connection);
    await manager.streams.add({ name: 'KEPT', subjects: ['kept.>'] });
    await jetstream(connection).publish('kept.one', 'a message');
    const { execFileSync } = await import('node:child_process');
    execFileSync('pkill', ['-9', '-f', `${own.broker?.folder}/plugins/service.broker/state/nats-server.conf`]);
    await until('it was noticed', () => own.broker?.log.some(({ message }) => message.startsWith('nats-server ended')));
    const info = await until('the stream is back', () => manager.streams.info('KEPT').catch(() => undefined));
    expect(info.state.messages).toBe(1);
  } finally {
    await own.stop();
    remove();
  }
});

describe('a service that is reloaded under a stream of bus messages', () => {
  const manifest = (version: string) => `bundle: counter
version: ${version}
plugins:
  - kind: service
    name: counter
    runner: persistent
    module: ./counter.mjs
    config: [plugin.choria.middleware_hosts, plugin.security.provider, plugin.security.file.certificate, plugin.security.file.key, plugin.security.file.ca]
    needs: { bus: { connections: [counter], open: true, publish: [counted], subscribe: [count] }, state: true }
`;
  const source = (version: string) => `import { definePlugin } from 'muster/sdk';
export default definePlugin({ kind: 'service', version: '${version}', create: (host) => ({
  methods: { 'service/status': () => ({ healthy: true, summary: '${version}', details: {} }) },
  activate: async () => {
    const config = host.config;
    await host.bus.open({ connection: 'counter', servers: ['nats://' + config['plugin.choria.middleware_hosts'][0]],
      tls: { cert: config['plugin.security.file.certificate'], key: config['plugin.security.file.key'], ca: config['plugin.security.file.ca'] } });
    await host.bus.subscribe({ connection: 'counter', id: 'count', subject: 'count' }, ({ payload }) =>
      host.bus.publish({ connection: 'counter', subject: 'counted', payload }));
  },
}) });
`;

  test('loses none, doubles none, and keeps their order', async () => {
    const { path, remove } = temporaryFolder();
    writeBundle(path, 'counter', manifest('1.0.0'), { 'counter.mjs': source('1.0.0') });
    const host = await startHost({
      distribution: true,
      watched: [path],
      services: ['counter'],
      config: { ...(await fleet.certificate('counter.test')), 'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}` },
    });
    const counted: number[] = [];
    nats.subscribe('counted', { callback: (_error, message) => void counted.push(Number(message.string())) });
    await nats.flush();
    const total = 4_000;
    let version = 1;
    for (let number = 0; number < total; number += 1) {
      nats.publish('count', String(number));
      if (number % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      if (number % 1_000 === 500) {
        version += 1;
        writeBundle(path, 'counter', manifest(`${version}.0.0`), { 'counter.mjs': source(`${version}.0.0`) });
      }
    }
    await until('all were counted', () => counted.length >= total);
    expect(counted).toEqual(Array.from({ length: total }, (_, index) => index));
    const status = (await until('the last version runs', async () => {
      const now = (await host.host.call('service', 'counter', 'service/status', {})) as { summary: string };
      return now.summary === `${version}.0.0` ? now : undefined;
    })) as { summary: string };
    expect(status.summary).toBe(`${version}.0.0`);
    await host.stop();
    remove();
  });
});

test('a broker that is killed under load is started again, and every node comes back', async () => {
  const node = await fleet.node('patient.test');
  const broker = fleet.broker;
  if (!broker) throw new Error('no broker');
  let asked = 0;
  let answered = 0;
  let done = false;
  const load = (async () => {
    while (!done) {
      asked += 1;
      answered += await client.ask('patient.test', 'rpcutil', 'ping', {}, { timeoutMs: 500 }).then(
        () => 1,
        () => 0,
      );
    }
  })();
  await until('some requests were answered', () => answered > 20);
  const { execFileSync } = await import('node:child_process');
  execFileSync('pkill', ['-9', '-f', `${broker.folder}/plugins/service.broker/state/nats-server.conf`]);
  await until('the broker says that it was started again', () =>
    broker.log.some(({ message }) => message.startsWith('nats-server ended')),
  );
  const before = answered;
  await until('requests are answered again', () => answered > before + 20);
  done = true;
  await load;
  expect(asked).toBeGreaterThan(answered);
  expect(node.host.list('service').find(({ name }) => name === 'server')).toMatchObject({ state: 'ready', restarts: 0 });
});
