// A bundle that changes while it works: no call is lost, none is answered by two versions, a broken one never takes over.

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestFolder } from '../../core/host/bundle.ts';
import { type EchoOptions, echoManifest, echoPlugin, echoSource } from '../support/echo.ts';
import { isAlive, temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

let folder: string;
let remove: () => void;
let running: TestHost;

beforeEach(async () => {
  ({ path: folder, remove } = temporaryFolder());
  echoPlugin(folder);
  running = await startHost({ watched: [folder] });
});
afterEach(async () => {
  await running.stop();
  remove();
});

const call = (method: string, params: object) => running.host.call('echo', 'echo', method, { ...params });
const versionNow = async () => ((await call('echo/version', {})) as { version: string }).version;
const replaceWith = (options: EchoOptions) => echoPlugin(folder, options);

describe('while 50 calls are in flight', () => {
  async function fifty(change: () => void, changed: () => Promise<unknown>): Promise<{ slept: number; version: string }[]> {
    await call('echo/echo', { text: 'warm' });
    const calls = Array.from({ length: 50 }, (_, index) => call('echo/sleep', { ms: 400 + index * 4 }));
    change();
    await changed();
    return (await Promise.all(calls)) as { slept: number; version: string }[];
  }

  test('a bundle that is replaced: each is answered once, by the version that took it', async () => {
    const answers = await fifty(
      () => replaceWith({ version: '2.0.0' }),
      () => until('the new version answers', async () => (await versionNow()) === '2.0.0'),
    );
    expect(answers.map(({ slept }) => slept)).toEqual(Array.from({ length: 50 }, (_, index) => 400 + index * 4));
    expect(new Set(answers.map(({ version }) => version))).toEqual(new Set(['1.0.0']));
  });

  test('a bundle that is replaced by a broken one: the old one goes on', async () => {
    const answers = await fifty(
      () => replaceWith({ version: '2.0.0', prelude: 'process.exit(1);' }),
      () => until('the failure is told', () => running.host.problems.length > 0),
    );
    expect(answers).toHaveLength(50);
    expect(await versionNow()).toBe('1.0.0');
    expect(running.log.some(({ level, message }) => level === 'error' && message.startsWith('the present version stays:'))).toBe(
      true,
    );
  });

  test('a bundle that is removed: its calls finish, further ones are refused', async () => {
    const answers = await fifty(
      () => rmSync(join(folder, 'echo'), { recursive: true }),
      () => until('it is gone', () => running.host.list('echo').length === 0),
    );
    expect(answers).toHaveLength(50);
    await expect(versionNow()).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('a bundle that is half copied is not started before it is whole', async () => {
    const source = echoSource({ version: '2.0.0' });
    const digest = createHash('sha256').update(source).digest('hex');
    const manifest = `${echoManifest({ version: '2.0.0' })}files: { echo.mjs: ${digest} }\n`;
    await call('echo/echo', { text: 'warm' });
    writeBundle(folder, 'echo', manifest, { 'echo.mjs': source.slice(0, 300) });
    await until('the half copy was looked at', () =>
      running.log.some(({ message }) => message.includes('the bundle starts when all of `files:` match')),
    );
    expect(await versionNow()).toBe('1.0.0');
    writeFileSync(join(folder, 'echo/echo.mjs'), source);
    await until('the whole copy answers', async () => (await versionNow()) === '2.0.0');
  });
});

test('a version that comes back while its earlier process still drains keeps what it runs from', async () => {
  await call('echo/echo', { text: 'warm' });
  const slow = call('echo/sleep', { ms: 2_500 });
  replaceWith({ version: '2.0.0' });
  await until('the second version answers', async () => (await versionNow()) === '2.0.0');
  replaceWith({ version: '1.0.0' });
  await until('the first version answers again', async () => (await versionNow()) === '1.0.0');
  expect(await slow).toMatchObject({ version: '1.0.0' });
  const pid = running.host.list('echo')[0]?.pid ?? 0;
  const folders = () => readdirSync(join(running.folder, 'bundles/echo'));
  await until('only one copy is left', () => folders().length === 1);
  process.kill(pid, 'SIGKILL');
  await until('it runs again', async () => (await versionNow().catch(() => '')) === '1.0.0');
  expect(folders()).toHaveLength(1);
});

test('a new version whose contract is new and whose process is broken leaves the old contract in force', async () => {
  const contract = (field: string) =>
    JSON.stringify({
      kind: 'echo',
      version: 1,
      description: 'x',
      methods: { 'echo/echo': { description: 'x', params: { type: 'object', required: [field] }, result: { type: 'object' } } },
    });
  const manifest = (version: string) => `${echoManifest({ version })}contracts: [./contract.json]\n`;
  writeBundle(folder, 'echo', manifest('2.0.0'), {
    'echo.mjs': echoSource({ version: '2.0.0' }),
    'contract.json': contract('text'),
  });
  await until(
    'the contract is in force',
    async () =>
      (await call('echo/echo', {}).then(
        () => '',
        (error: { code: string }) => error.code,
      )) === 'INVALID_PARAMS',
  );
  writeBundle(folder, 'echo', manifest('3.0.0'), { 'echo.mjs': 'process.exit(1);', 'contract.json': contract('other') });
  await until('the failure is told', () => running.host.problems.length > 0);
  expect(await call('echo/echo', { text: 'still' })).toMatchObject({ text: 'still' });
});

test('a new bundle in a watched folder is callable soon after', async () => {
  writeBundle(
    folder,
    'fresh',
    'bundle: fresh\nversion: 1.0.0\nplugins:\n  - { kind: fresh, name: fresh, runner: oneshot, command: [cat] }\n',
  );
  const dropped = Date.now();
  await until('it is loaded', () => running.host.list('fresh').length === 1);
  expect(await running.host.call('fresh', 'fresh', 'fresh/cat', { a: 1 })).toEqual({ a: 1 });
  expect(Date.now() - dropped).toBeLessThan(30_000);
});

test('a bundle whose manifest is broken is told with file and line, and comes back when it is mended', async () => {
  writeFileSync(join(folder, 'echo/bundle.yaml'), 'bundle: echo\nversion: 1.0.0\nplugins: nothing\n');
  const problem = await until('the problem is told', () => running.host.problems[0]);
  expect(problem.message).toContain(`${join(folder, 'echo/bundle.yaml')}:3: plugins: must be array`);
  expect(await versionNow()).toBe('1.0.0');
  replaceWith({ version: '3.0.0' });
  await until('the mended one answers', async () => (await versionNow()) === '3.0.0');
  await until('no problem is told any more', () => running.host.problems.length === 0);
});

test('what is declared under an equal id outlives the version that declared it', async () => {
  const activate = `ask('process/start', { id: 'helper', command: ['sleep', '60'] }).then(done)`;
  const options: EchoOptions = { needs: '{ process: [sleep] }', start: 'eager', activate };
  const helper = async () => {
    const { result } = (await call('echo/ask', { method: 'process/list', params: {} })) as {
      result: { processes: { pid: number }[] };
    };
    return result.processes.map(({ pid }) => pid);
  };
  replaceWith({ ...options, version: '2.0.0' });
  await until('the second version answers', async () => (await versionNow()) === '2.0.0');
  const [pid = 0] = await helper();
  expect(isAlive(pid)).toBe(true);
  replaceWith({ ...options, version: '3.0.0' });
  await until('the third version answers', async () => (await versionNow()) === '3.0.0');
  expect(await helper()).toEqual([pid]);
  replaceWith({ version: '4.0.0' });
  await until('the fourth version answers', async () => (await versionNow()) === '4.0.0');
  await until('what it no longer declares has ended', () => !isAlive(pid));
});

test('version control and what compilers keep for themselves are no part of a bundle', async () => {
  const bundle = join(folder, 'echo');
  for (const [name, file] of [
    ['.git', 'HEAD'],
    ['target', 'CACHEDIR.TAG'],
    ['target/release', 'large'],
  ] as const) {
    mkdirSync(join(bundle, name), { recursive: true });
    writeFileSync(join(bundle, name, file), 'x');
  }
  mkdirSync(join(bundle, 'kept'));
  writeFileSync(join(bundle, 'kept/data'), 'x');
  replaceWith({ version: '2.0.0' });
  await until('the new version answers', async () => (await versionNow()) === '2.0.0');
  const { folder: copy, digest } = await until('it is listed', () =>
    running.host.bundles.find(({ version }) => version === '2.0.0'),
  );
  expect(readdirSync(copy).sort()).toEqual(['bundle.yaml', 'echo.mjs', 'kept']);
  writeFileSync(join(bundle, 'target/release/large'), 'y');
  expect(digestFolder(bundle)).toBe(digest);
  writeFileSync(join(bundle, 'kept/data'), 'y');
  expect(digestFolder(bundle)).not.toBe(digest);
});

test('a folder of bundles that does not exist yet is watched all the same', async () => {
  const later = join(folder, 'later');
  const host = await startHost({ watched: [later] });
  try {
    echoPlugin(later);
    await until('the bundle is loaded', () => host.host.list('echo').length === 1);
  } finally {
    await host.stop();
  }
});
