// Stores of objects: what a plugin may do with them, and what it is told when it can't.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { NatsServer } from '../support/nats.ts';

const manifest = (runner: string) => `bundle: keeper
version: 1.0.0
plugins:
  - kind: keeper
    name: keeper
    runner: ${runner}
    module: ./keeper.mjs
    needs: { bus: { connections: [node], open: true }, objects: [THINGS, NEVER_MADE] }
`;
const source = (port: number) => `export default { kind: 'keeper', version: '1', create: (host) => {
  const things = host.objects.store('node', 'THINGS');
  const bytes = (text, times = 1) => Buffer.from(text.repeat(times));
  return {
    methods: {
      'keeper/create': async (spec) => ({ created: await things.create(spec) }),
      'keeper/put': ({ name, text, times }) => things.put(name, bytes(text, times)),
      'keeper/get': async ({ name }) => {
        const object = await things.get(name);
        return { object: object && { ...object, value: Buffer.from(object.value).toString() } };
      },
      'keeper/info': async ({ name }) => ({ object: await things.info(name) }),
      'keeper/delete': async ({ name }) => ({ deleted: await things.delete(name) }),
      'keeper/list': async () => ({ objects: await things.list() }),
      'keeper/other': async ({ bucket }) => ({ object: await host.objects.store('node', bucket).get('x') }),
    },
    activate: () => host.bus.open({ connection: 'node', servers: ['nats://127.0.0.1:${port}'], wait: false }),
  };
} };
`;

let server: NatsServer;
beforeAll(async () => {
  server = await NatsServer.start();
});
afterAll(() => server.stop());

describe.each(['inline', 'persistent'] as const)('%s', (runner) => {
  const { path: folder, remove } = temporaryFolder();
  let host: TestHost;
  const ask = async <T>(method: string, params: object = {}) =>
    (await host.host.call('keeper', 'keeper', `keeper/${method}`, { ...params })) as T;

  beforeAll(async () => {
    writeBundle(folder, 'keeper', manifest(runner), { 'keeper.mjs': source(server.port) });
    host = await startHost({ bundles: [folder] });
    await ask('create', { storage: 'memory' });
  });
  afterAll(async () => {
    await host.stop();
    remove();
  });

  test('an object is read as it was put, whole, and replaced by the next of its name', async () => {
    const name = `${runner}.large`;
    expect(await ask('put', { name, text: 'één ', times: 100_000 })).toMatchObject({ size: 600_000 });
    expect(await ask('get', { name })).toMatchObject({ object: { size: 600_000, value: 'één '.repeat(100_000) } });
    const put = await ask<{ digest: string }>('put', { name, text: 'two' });
    expect(await ask('get', { name })).toMatchObject({ object: { size: 3, value: 'two', digest: put.digest } });
    expect(await ask('info', { name })).toMatchObject({ object: { size: 3, digest: put.digest } });
  });

  test('objects are listed until they are deleted', async () => {
    const name = `${runner}.short-lived`;
    await ask('put', { name, text: 'x' });
    const names = async () => (await ask<{ objects: { name: string }[] }>('list')).objects.map((item) => item.name);
    expect(await names()).toContain(name);
    expect(await ask('delete', { name })).toEqual({ deleted: true });
    expect(await names()).not.toContain(name);
    expect(await ask('get', { name })).toEqual({ object: null });
    expect(await ask('info', { name })).toEqual({ object: null });
    expect(await ask('delete', { name })).toEqual({ deleted: false });
  });

  test('a store is made once', async () => {
    expect(await ask('create')).toEqual({ created: false });
  });

  test.each([
    ['an object that is too large', 'put', { name: 'x', text: 'x', times: 2 * 1024 * 1024 + 1 }, /at most 2097152 are taken/],
    ['a name with a blank', 'put', { name: 'a b', text: 'x' }, /params of objects\/put: name must match pattern/],
    ['a store that nobody made', 'other', { bucket: 'NEVER_MADE' }, /there is no object store NEVER_MADE on the connection node/],
    ['a store that was not asked for', 'other', { bucket: 'SECRETS' }, /needs: {objects: \[SECRETS\]}/],
  ])('%s is refused', async (_what, method, params, message) => {
    await expect(ask(method, params)).rejects.toThrow(message);
  });
});
