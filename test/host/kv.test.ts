// Buckets of keys and values: what a plugin may do with them, and what a watch lives through.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort, temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { NatsServer } from '../support/nats.ts';

interface Told {
  readonly changes: readonly {
    readonly key: string;
    readonly operation: string;
    readonly text?: string;
    readonly revision: number;
  }[];
  readonly reset: boolean;
  readonly current: boolean;
}

const manifest = (runner: string) => `bundle: keeper
version: 1.0.0
plugins:
  - kind: keeper
    name: keeper
    runner: ${runner}
    module: ./keeper.mjs
    needs: { bus: { connections: [node], open: true }, kv: [THINGS, MANY] }
`;
/** Does what it is asked with the bucket, and remembers what its watch tells. */
const source = (port: number, version = '1') => `export default { kind: 'keeper', version: '${version}', create: (host) => {
  const things = host.kv.bucket('node', 'THINGS');
  const told = [];
  const take = (item) => { told.push({ ...item, changes: item.changes.map(({ value, ...rest }) => ({ ...rest, ...(value && { text: Buffer.from(value).toString() }) })) }); };
  const plain = (entry) => entry && { ...entry, value: Buffer.from(entry.value).toString() };
  return {
    methods: {
      'keeper/create': (spec) => things.create(spec),
      'keeper/get': async ({ key }) => ({ entry: plain(await things.get(key)) }),
      'keeper/put': async ({ key, text }) => ({ revision: await things.put(key, Buffer.from(text)) }),
      'keeper/update': async ({ key, text, revision }) => ({ revision: await things.update(key, Buffer.from(text), revision) }),
      'keeper/delete': async ({ key, revision }) => ({ deleted: await things.delete(key, revision) }),
      'keeper/keys': async ({ pattern }) => ({ keys: await things.keys(pattern) }),
      'keeper/watch': async ({ id, key }) => { await things.watch({ id, ...(key && { key }) }, take); return {}; },
      'keeper/unwatch': async ({ id }) => { await things.unwatch(id); return {}; },
      'keeper/told': () => ({ told: [...told], version: '${version}' }),
      'keeper/other': async ({ bucket }) => ({ entry: await host.kv.bucket('node', bucket).get('x') }),
      'keeper/fill': async ({ count }) => {
        const many = host.kv.bucket('node', 'MANY');
        await many.create({ storage: 'memory' });
        await Promise.all(Array.from({ length: count }, (_, index) => many.put('k' + index, Buffer.alloc(2000, 97))));
        let heard = 0, parts = 0, running = 0, overlapped = false, done;
        const all = new Promise((resolve) => { done = resolve; });
        await many.watch({ id: 'many' }, async ({ changes, current }) => {
          overlapped ||= ++running > 1;
          await new Promise((resolve) => setTimeout(resolve, 5));
          running -= 1; heard += changes.length; parts += 1;
          if (current) done();
        });
        await all;
        await many.unwatch('many');
        return { heard, parts, overlapped, keys: (await many.keys()).length };
      },
    },
    activate: async () => {
      await host.bus.open({ connection: 'node', servers: ['nats://127.0.0.1:${port}'], wait: false });
      await things.watch({ id: 'always', key: 'always.>' }, take);
    },
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
  const prefix = `${runner}.`;
  let host: TestHost;
  const ask = async <T>(method: string, params: object = {}) =>
    (await host.host.call('keeper', 'keeper', `keeper/${method}`, { ...params })) as T;
  const told = async () => (await ask<{ told: Told[] }>('told')).told;
  const changes = async () => (await told()).flatMap((item) => item.changes);

  beforeAll(async () => {
    writeBundle(folder, 'keeper', manifest(runner), { 'keeper.mjs': source(server.port) });
    host = await startHost({ bundles: [folder] });
  });
  afterAll(async () => {
    await host.stop();
    remove();
  });

  test('a bucket is made once, as it was asked for the first time', async () => {
    const asked = { history: 3, ttlMs: 3_600_000, storage: 'file' };
    const first = await ask<{ created: boolean }>('create', asked);
    expect(first).toMatchObject({ ...asked, replicas: 1 });
    expect(await ask('create', { history: 9 })).toMatchObject({ ...asked, created: false });
  });

  test('a value is read as it was put, with its revision and time', async () => {
    const before = Date.now();
    const { revision } = await ask<{ revision: number }>('put', { key: `${prefix}a`, text: 'één' });
    const { entry } = await ask<{ entry: { value: string; revision: number; created: number } }>('get', { key: `${prefix}a` });
    expect(entry).toMatchObject({ value: 'één', revision });
    expect(entry.created).toBeGreaterThan(before - 1_000);
    expect(await ask('get', { key: `${prefix}none` })).toEqual({ entry: null });
  });

  test('a value is changed only where nobody was faster', async () => {
    const key = `${prefix}counter`;
    const { revision } = await ask<{ revision: number }>('update', { key, text: '1', revision: 0 });
    expect(revision).toBeGreaterThan(0);
    expect(await ask('update', { key, text: 'other', revision: 0 })).toEqual({ revision: null });
    const next = await ask<{ revision: number }>('update', { key, text: '2', revision });
    expect(next.revision).toBeGreaterThan(revision);
    expect(await ask('update', { key, text: 'late', revision })).toEqual({ revision: null });
    expect(await ask('get', { key })).toMatchObject({ entry: { value: '2' } });
    expect(await ask('delete', { key, revision })).toEqual({ deleted: false });
    expect(await ask('delete', { key, revision: next.revision })).toEqual({ deleted: true });
    expect(await ask('get', { key })).toEqual({ entry: null });
    // What was deleted can be made anew.
    expect(await ask('update', { key, text: '3', revision: 0 })).toEqual({ revision: expect.any(Number) });
  });

  test('keys are listed by pattern, without those that were deleted', async () => {
    for (const key of ['x.one', 'x.two', 'y.one']) await ask('put', { key: prefix + key, text: '1' });
    await ask('delete', { key: `${prefix}x.two` });
    expect((await ask<{ keys: string[] }>('keys', { pattern: `${prefix}x.>` })).keys).toEqual([`${prefix}x.one`]);
    expect([...(await ask<{ keys: string[] }>('keys', { pattern: `${prefix}*.one` })).keys].sort()).toEqual([
      `${prefix}x.one`,
      `${prefix}y.one`,
    ]);
    expect((await ask<{ keys: string[] }>('keys', { pattern: 'nothing.>' })).keys).toEqual([]);
  });

  test('a watch tells what is there, then what changes', async () => {
    const at = (await told()).length;
    await ask('put', { key: `${prefix}w.one`, text: 'old' });
    await ask('put', { key: `${prefix}w.one`, text: '1' });
    await ask('put', { key: `${prefix}w.two`, text: '2' });
    await ask('watch', { id: 'own', key: `${prefix}w.>` });
    const first = await until('it told what is there', async () => (await told())[at]);
    expect(first).toMatchObject({ reset: true, current: true });
    expect(first.changes.map(({ key, text }) => [key, text])).toEqual([
      [`${prefix}w.one`, '1'],
      [`${prefix}w.two`, '2'],
    ]);
    await ask('delete', { key: `${prefix}w.one` });
    await ask('put', { key: `${prefix}w.two`, text: '3' });
    await until('it told both changes', async () => (await changes()).some(({ text }) => text === '3'));
    const later = (await told()).slice(at + 1).flatMap((item) => item.changes);
    expect(later.map(({ operation, key }) => [operation, key])).toEqual([
      ['delete', `${prefix}w.one`],
      ['put', `${prefix}w.two`],
    ]);
    await ask('unwatch', { id: 'own' });
    await expect(ask('unwatch', { id: 'own' })).rejects.toThrow('keeper/keeper has no watch own');
  });

  test('a watch of nothing says so at once', async () => {
    const at = (await told()).length;
    await ask('watch', { id: 'empty', key: `${prefix}nothing.>` });
    expect(await until('it told', async () => (await told())[at])).toEqual({
      watch: 'empty',
      changes: [],
      reset: true,
      current: true,
    });
    await ask('unwatch', { id: 'empty' });
  });

  test('a large bucket comes in parts, one at a time', async () => {
    const { heard, parts, overlapped, keys } = await ask<{ heard: number; parts: number; overlapped: boolean; keys: number }>(
      'fill',
      { count: 1_500 },
    );
    expect({ heard, overlapped, keys }).toEqual({ heard: 1_500, overlapped: false, keys: 1_500 });
    expect(parts).toBeGreaterThan(4);
  });

  test.each([
    [
      'other',
      { bucket: 'SECRETS' },
      'keeper/keeper may not use the bucket SECRETS; bundle.yaml would need `needs: {kv: [SECRETS]}`',
    ],
    ['get', { key: 'a b' }, 'invalid key: a b; it may have letters, digits and - / _ = . inside'],
  ])('%s %o is refused: %s', async (method, params, message) => {
    await expect(ask(method, params)).rejects.toThrow(message);
  });

  test('a broker that is killed: a watch goes on where it was, and nothing is told twice', async () => {
    await ask('put', { key: `always.${runner}`, text: 'before' });
    await until('it is told', async () => (await changes()).some(({ text }) => text === 'before'));
    const at = (await told()).length;
    await server.kill();
    await expect(ask('get', { key: `${prefix}a` })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await server.resume();
    await until('it can be written again', () => ask('put', { key: `always.${runner}`, text: 'after' }).catch(() => undefined));
    await until('the change is told', async () =>
      (await told()).slice(at).some((item) => item.changes.some(({ text }) => text === 'after')),
    );
    const revisions = (await told())
      .filter((item) => item.changes.some(({ key }) => key.startsWith('always.')))
      .flatMap((item) => item.changes.map(({ revision }) => revision));
    expect(new Set(revisions).size).toBe(revisions.length);
    expect((await told()).slice(at).some(({ reset }) => reset)).toBe(false);
  });
});

test('a bundle that is replaced: its watch goes on, and the new version is told what is new', async () => {
  const { path: folder, remove } = temporaryFolder();
  const bundle = writeBundle(folder, 'keeper', manifest('persistent'), { 'keeper.mjs': source(server.port) });
  const { host, stop } = await startHost({ watched: [folder] });
  const ask = async <T>(method: string, params: object = {}) =>
    (await host.call('keeper', 'keeper', `keeper/${method}`, { ...params })) as T;
  try {
    await ask('create', {});
    await ask('put', { key: 'always.reload', text: 'old' });
    await until('the old version is told', async () => JSON.stringify(await ask('told')).includes('"old"'));
    writeFileSync(join(bundle, 'keeper.mjs'), source(server.port, '2'));
    await until('the new version answers', async () => (await ask<{ version: string }>('told')).version === '2');
    await ask('put', { key: 'always.reload', text: 'new' });
    await until('the new version is told', async () => JSON.stringify(await ask('told')).includes('"new"'));
    expect(JSON.stringify(await ask('told'))).not.toContain('"old"');
  } finally {
    await stop();
    remove();
  }
});

test('a watch whose broker is never there does not hold up the end', async () => {
  const { path: folder, remove } = temporaryFolder();
  writeBundle(folder, 'keeper', manifest('inline'), { 'keeper.mjs': source(await freePort()) });
  const { host, stop } = await startHost({ bundles: [folder] });
  expect(await host.call('keeper', 'keeper', 'keeper/told', {})).toEqual({ told: [], version: '1' });
  const begun = performance.now();
  await stop();
  expect(performance.now() - begun).toBeLessThan(20_000);
  remove();
});

test('a plugin that is killed while it takes changes is handed them again, in the next process', async () => {
  const { path: folder, remove } = temporaryFolder();
  const dying = source(server.port).replace(
    'const take = (item) => {',
    "const take = (item) => { if (item.changes.some(({ value }) => value && Buffer.from(value).toString() === 'deadly') && !existsSync('died')) { writeFileSync('died', ''); process.kill(process.pid, 'SIGKILL'); }",
  );
  writeBundle(folder, 'keeper', manifest('persistent'), {
    'keeper.mjs': `import { existsSync, writeFileSync } from 'node:fs';\n${dying}`,
  });
  const { host, stop } = await startHost({ bundles: [folder] });
  const ask = (method: string, params: object) => host.call('keeper', 'keeper', `keeper/${method}`, { ...params });
  try {
    await ask('create', {});
    const before = host.list('keeper')[0]?.pid;
    // Its answer may be lost with the process.
    await ask('put', { key: 'always.killed', text: 'deadly' }).catch(() => undefined);
    await until('another process runs', () => {
      const [listed] = host.list('keeper');
      return listed?.state === 'ready' && listed.pid !== before;
    });
    await until('it is told', async () => JSON.stringify(await ask('told', {})).includes('"deadly"'));
  } finally {
    await stop();
    remove();
  }
});

test('a bucket that is not there, and a broker without one', async () => {
  const { path: folder, remove } = temporaryFolder();
  const other = await NatsServer.start();
  writeBundle(folder, 'keeper', manifest('inline'), { 'keeper.mjs': source(other.port) });
  const { host, stop } = await startHost({ bundles: [folder] });
  const ask = (method: string, params: object) => host.call('keeper', 'keeper', `keeper/${method}`, { ...params });
  try {
    await expect(ask('put', { key: 'a', text: 'b' })).rejects.toThrow('the bucket THINGS can not be used on the connection node');
    await expect(ask('get', { key: 'a' })).rejects.toThrow(
      'there is no bucket THINGS on the connection node; kv/create makes it',
    );
    // A watch waits for its bucket.
    await ask('create', {});
    await ask('put', { key: 'always.late', text: 'late' });
    await until('it is told', async () => JSON.stringify(await ask('told', {})).includes('"late"'));
  } finally {
    await stop();
    await other.stop();
    remove();
  }
});

test('a bucket that was deleted and made anew is told anew, though it counts further than the one before', async () => {
  const own = await NatsServer.start();
  const { path: folder, remove } = temporaryFolder();
  writeBundle(folder, 'keeper', manifest('inline'), { 'keeper.mjs': source(own.port) });
  const host = await startHost({ bundles: [folder] });
  const ask = async <T>(method: string, params: object = {}) =>
    (await host.host.call('keeper', 'keeper', `keeper/${method}`, { ...params })) as T;
  const told = async () => (await ask<{ told: Told[] }>('told')).told;
  const hasTold = async (text: string) => (await told()).some(({ changes }) => changes.some((change) => change.text === text));
  try {
    await until('the bucket is there', () => ask('create').catch(() => undefined));
    await ask('put', { key: 'always.a', text: 'before' });
    await until('it is told', () => hasTold('before'));
    const connection = await connect({ servers: `127.0.0.1:${own.port}` });
    await (await jetstreamManager(connection)).streams.delete('KV_THINGS');
    await connection.close();
    await ask('create');
    await ask('put', { key: 'always.a', text: 'anew' });
    for (let count = 0; count < 5; count += 1) await ask('put', { key: 'filling', text: String(count) });
    await until('it is told anew', () => hasTold('anew'));
    expect((await told()).filter(({ reset }) => reset)).toHaveLength(2);
  } finally {
    await host.stop();
    await own.stop();
    remove();
  }
});

test('a bucket whose keys are deleted and purged by the dozen is told of at once all the same', async () => {
  const own = await NatsServer.start();
  const { path: folder, remove } = temporaryFolder();
  writeBundle(folder, 'keeper', manifest('inline'), { 'keeper.mjs': source(own.port) });
  const host = await startHost({ bundles: [folder] });
  const ask = async <T>(method: string, params: object = {}) =>
    (await host.host.call('keeper', 'keeper', `keeper/${method}`, { ...params })) as T;
  const told = async () => (await ask<{ told: Told[] }>('told')).told;
  const hasTold = async (text: string) => (await told()).some(({ changes }) => changes.some((change) => change.text === text));
  try {
    await until('the bucket is there', () => ask('create').catch(() => undefined));
    const keys = Array.from({ length: 20 }, (_, index) => `always.k${index}`);
    for (const key of keys) await ask('put', { key, text: key });
    await until('they are told', () => hasTold('always.k19'));
    const connection = await connect({ servers: `127.0.0.1:${own.port}` });
    const store = await new Kvm(connection).open('THINGS');
    await Promise.all(keys.map((key) => store.delete(key)));
    await Promise.all(keys.map((key) => store.purge(key)));
    await connection.close();
    // Brokers count what was purged as still to come, for as long as the watch lasts.
    await ask('put', { key: 'always.a', text: 'after' });
    await until('what came later is told', () => hasTold('after'), 10_000);
    expect((await told()).at(-1)?.current).toBe(true);
  } finally {
    await host.stop();
    await own.stop();
    remove();
  }
});
