// Named connections: what of them a plugin keeps when it has them changed.

import { connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort, temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { NatsServer } from '../support/nats.ts';

const manifest = `bundle: talker
version: 1.0.0
plugins:
  - kind: talker
    name: talker
    runner: inline
    module: ./talker.mjs
    needs: { bus: { connections: [node], open: true, publish: ['>'], subscribe: ['>'] } }
`;
const source = `export default { kind: 'talker', version: '1', create: (host) => {
  const heard = [];
  return { methods: {
    'talker/open': async ({ ports }) => {
      await host.bus.open({ connection: 'node', servers: ports.map((port) => 'nats://127.0.0.1:' + port), wait: false, keepOrder: true });
      return {};
    },
    'talker/listen': async () => {
      await host.bus.subscribe({ connection: 'node', id: 'ears', subject: 'words' }, ({ payload }) => void heard.push(Buffer.from(payload).toString()));
      return {};
    },
    'talker/ignore': async () => { await host.bus.unsubscribe('ears'); return {}; },
    'talker/say': async ({ text }) => { await host.bus.publish({ connection: 'node', subject: 'words', payload: Buffer.from(text) }); return {}; },
    'talker/heard': async () => ({ heard: [...heard], ...(await host.bus.info('node')) }),
  } };
} };
`;

interface Heard {
  readonly heard: readonly string[];
  readonly connected: boolean;
  readonly server?: string;
  readonly inMessages: number;
}

const { path: folder, remove } = temporaryFolder();
const servers: NatsServer[] = [];
const wires: NatsConnection[] = [];
let host: TestHost;
const call = (method: string, params: Readonly<Record<string, unknown>> = {}) =>
  host.host.call('talker', 'talker', `talker/${method}`, params);
const heard = async () => (await call('heard')) as Heard;
const portOf = (index: number) => servers[index]?.port ?? 0;
const connectedTo = (port: number) => until('it is there', async () => (await heard()).server === `nats://127.0.0.1:${port}`);

beforeAll(async () => {
  writeBundle(folder, 'talker', manifest, { 'talker.mjs': source });
  servers.push(await NatsServer.start(), await NatsServer.start());
  for (const { port } of servers) wires.push(await connect({ servers: `127.0.0.1:${port}` }));
  host = await startHost({ bundles: [folder] });
});
afterAll(async () => {
  await host?.stop();
  for (const wire of wires) await wire.close();
  for (const server of servers) await server.stop();
  remove();
});

test('a connection that is opened to other servers takes along what was subscribed and what was not sent yet', async () => {
  const nowhere = await freePort();
  await call('open', { ports: [nowhere] });
  await call('listen');
  await call('say', { text: 'early' });
  await call('open', { ports: [portOf(0)] });
  await until('it was sent', async () => (await heard()).heard.includes('early'));
  await call('open', { ports: [portOf(1)] });
  await connectedTo(portOf(1));
  // What comes over the same connection says that the server knows of the subscription.
  await call('say', { text: 'moved' });
  await until('it is heard there', async () => (await heard()).heard.includes('moved'));
  wires[1]?.publish('words', 'later');
  await until('others are heard there', async () => (await heard()).heard.includes('later'));
  expect((await heard()).heard).toEqual(['early', 'moved', 'later']);
});

test('a subscription that was taken along ends when the plugin ends it', async () => {
  const said: string[] = [];
  wires[1]?.subscribe('words', { callback: (_error, message) => void said.push(message.string()) });
  await wires[1]?.flush();
  await call('ignore');
  // What comes over the same connection afterwards says that the server knows of the end.
  await call('say', { text: 'ignoring' });
  await until('the server has heard it', () => said.includes('ignoring'));
  const { inMessages } = await heard();
  wires[1]?.publish('words', 'to nobody');
  await wires[1]?.flush();
  await call('listen');
  await call('say', { text: 'to myself' });
  await until('the new subscription works', async () => (await heard()).heard.includes('to myself'));
  expect((await heard()).inMessages).toBe(inMessages + 1);
});

test('keepOrder has the first server tried first', async () => {
  for (const order of [
    [0, 1],
    [1, 0],
  ]) {
    await call('open', { ports: order.map(portOf) });
    await connectedTo(portOf(order[0] ?? 0));
  }
  expect((await heard()).connected).toBe(true);
});
