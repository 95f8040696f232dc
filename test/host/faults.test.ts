// Bundles and plugins that are wrong, and what people are told.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { parseManifest } from '../../core/host/manifest.ts';
import { echoPlugin } from '../support/echo.ts';
import { isAlive, temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

const open: { stop(): Promise<void> | void }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.stop();
});

async function hostWith(bundles: (folder: string) => void): Promise<TestHost> {
  const { path, remove } = temporaryFolder();
  open.push({ stop: remove });
  bundles(path);
  const host = await startHost({ bundles: [path] });
  open.push(host);
  return host;
}

const echo = (host: TestHost) => host.host.call('echo', 'echo', 'echo/echo', { text: 'x' }, { deadlineMs: 30_000 });

describe('a manifest', () => {
  const problemOf = (text: string): string => {
    try {
      parseManifest(text, '/b/bundle.yaml');
    } catch (error) {
      return (error as Error).message;
    }
    return 'none';
  };

  test.each([
    ['bundle: b\nversion: 1.0.0\n', '/b/bundle.yaml:1: must have required property'],
    [
      'bundle: b\nversion: 1.0.0\nplugins:\n  - kind: agent\n    name: x\n    runer: oneshot\n',
      '/b/bundle.yaml:6: plugins.0.runer: runer is not a known key here; did you mean runner?',
    ],
    [
      'bundle: b\nversion: 1.0.0\nplugins:\n  - kind: agent\n    name: x\n    runner: forever\n',
      '/b/bundle.yaml:6: plugins.0.runner: must be equal to one of the allowed values: persistent, oneshot, inline',
    ],
    [
      'bundle: b\nversion: 1.0.0\nplugins:\n  - { kind: agent, name: x, runner: oneshot }\n',
      'agent/x is oneshot and needs `command: [program, argument …]`',
    ],
    [
      'bundle: b\nversion: 1.0.0\nplugins:\n  - { kind: a, name: x, runner: oneshot, command: [sh] }\n  - { kind: a, name: x, runner: oneshot, command: [sh] }\n',
      '/b/bundle.yaml:5: plugins.1: a/x is there twice',
    ],
    [
      'bundle: b\nversion: 1.0.0\nplugins:\n  - { kind: a, name: x, runner: oneshot, command: [./../../bin/sh] }\n',
      "leaves the bundle's folder",
    ],
    [
      'bundle: b\nversion: 1.0.0\nconfig:\n  keys:\n    b.on: { type: string, description: x }\nplugins:\n  - { kind: a, name: x, runner: oneshot, command: [sh], when: b.on }\n',
      '/b/bundle.yaml:7: plugins.0.when: b.on must be a key of type boolean or integer under `config: {keys: …}`',
    ],
    ['bundle: [\n', '/b/bundle.yaml:'],
  ])('%# that is wrong is refused with file, line and path', (text, expected) => {
    expect(problemOf(text)).toContain(expected);
  });
});

describe('a plugin that can not be started is explained', () => {
  const manifest = (command: string) =>
    `bundle: echo\nversion: 1.0.0\nplugins:\n  - { kind: echo, name: echo, runner: persistent, command: ${command} }\n`;

  test('when its command is missing', async () => {
    const host = await hostWith((folder) => writeBundle(folder, 'echo', manifest('[no-such-program-here]')));
    await expect(echo(host)).rejects.toThrow(/no-such-program-here is not on PATH .*; try: install no-such-program-here/);
  });

  test('when its command is not executable', async () => {
    const host = await hostWith((folder) => {
      const bundle = writeBundle(folder, 'echo', manifest('[./echo]'), { echo: 'true\n' });
      chmodSync(join(bundle, 'echo'), 0o644);
    });
    await expect(echo(host)).rejects.toThrow(/mode 0644, owner \d+:\d+; it is not executable; try: chmod \+x/);
  });

  test('when its interpreter is missing', async () => {
    const host = await hostWith((folder) =>
      writeBundle(folder, 'echo', manifest('[./echo]'), { echo: '#!/no/such/interpreter\n' }),
    );
    await expect(echo(host)).rejects.toThrow(/the interpreter \/no\/such\/interpreter does not exist/);
  });

  test('when it ends before the handshake, with exit code and last words', async () => {
    const host = await hostWith((folder) =>
      writeBundle(folder, 'echo', manifest('[sh, ./echo.sh]'), { 'echo.sh': 'echo "no licence" >&2; exit 7\n' }),
    );
    await expect(echo(host)).rejects.toThrow(/exit code: 7; last lines on stderr: no licence/);
  });

  test('when it answers with another protocol', async () => {
    const host = await hostWith((folder) =>
      echoPlugin(folder, { methods: `initialize: (id) => answer(id, { protocol: 9, version: '1' }),` }),
    );
    await expect(echo(host)).rejects.toThrow(/answered with protocol 9; this host speaks 1/);
  });

  test('when it crashes again and again: it is quarantined, and one command lifts that', async () => {
    const { path, remove } = temporaryFolder();
    open.push({ stop: remove });
    echoPlugin(path, { start: 'eager', prelude: 'setTimeout(() => process.exit(5), 20);' });
    const started = await startHost({ watched: [path] });
    open.push(started);
    await echo(started).catch(() => undefined);
    await until('it is quarantined', () => started.host.list('echo')[0]?.state === 'quarantined');
    expect(started.log.find(({ message }) => /quarantined after \d+ ends within a minute/.test(message))?.message).toContain(
      'muster plugin reload echo',
    );
    await expect(echo(started)).rejects.toThrow(/quarantined/);
    echoPlugin(path, { version: '2.0.0' });
    await started.host.reloadByName('echo');
    expect(await echo(started)).toMatchObject({ text: 'x' });
  });
});

describe('a plugin that breaks the protocol', () => {
  test('is warned nine times for garbage on stdout, and stopped at the tenth', async () => {
    const host = await hostWith((folder) =>
      echoPlugin(folder, {
        methods: `'echo/garbage': (id, { lines }) => { for (let n = 0; n < lines; n++) process.stdout.write('garbage ' + n + '\\n'); answer(id, {}); },`,
      }),
    );
    await host.host.call('echo', 'echo', 'echo/garbage', { lines: 9 });
    expect(await echo(host)).toMatchObject({ text: 'x' });
    const pid = host.host.list('echo')[0]?.pid ?? 0;
    await host.host.call('echo', 'echo', 'echo/garbage', { lines: 1 }).catch(() => undefined);
    await until('it was stopped', () => !isAlive(pid));
    expect(host.log.filter(({ message }) => message.includes('this line is not JSON: garbage'))).toHaveLength(10);
    expect(host.log.some(({ message }) => message.includes('stopped after 10 violations'))).toBe(true);
    expect(await echo(host)).toMatchObject({ text: 'x' });
  });

  test('by never answering costs its caller the deadline and nobody else anything', async () => {
    const host = await hostWith((folder) => echoPlugin(folder, { methods: `'echo/never': () => undefined,` }));
    const started = Date.now();
    const never = host.host.call('echo', 'echo', 'echo/never', {}, { deadlineMs: 200 });
    expect(await echo(host)).toMatchObject({ text: 'x' });
    await expect(never).rejects.toMatchObject({ code: 'DEADLINE' });
    expect(Date.now() - started).toBeLessThan(30_000);
  });

  test('by answering twice is logged, and the first answer counts', async () => {
    const host = await hostWith((folder) =>
      echoPlugin(folder, { methods: `'echo/twice': (id) => { answer(id, { n: 1 }); answer(id, { n: 2 }); },` }),
    );
    expect(await host.host.call('echo', 'echo', 'echo/twice', {})).toEqual({ n: 1 });
    await until('the second answer is logged', () => host.log.some(({ message }) => /answered request \d+ twice/.test(message)));
    expect(await echo(host)).toMatchObject({ text: 'x' });
  });

  test('by flooding with a line without end is refused, and its memory is not the host’s', async () => {
    const host = await hostWith((folder) =>
      echoPlugin(folder, {
        methods: `'echo/flood': (id) => { for (let n = 0; n < 64; n++) process.stdout.write('x'.repeat(1024 * 1024)); process.stdout.write('\\n'); answer(id, {}); },`,
      }),
    );
    const before = process.memoryUsage().rss;
    await host.host.call('echo', 'echo', 'echo/flood', {}, { deadlineMs: 50_000 });
    expect(host.log.some(({ message }) => message.includes('this line is longer than was agreed'))).toBe(true);
    expect(process.memoryUsage().rss - before).toBeLessThan(48 * 1024 * 1024);
    expect(await echo(host)).toMatchObject({ text: 'x' });
  });

  test('by ignoring shutdown, the end of stdin and SIGTERM is killed', async () => {
    const host = await hostWith((folder) =>
      writeBundle(
        folder,
        'echo',
        'bundle: echo\nversion: 1.0.0\nplugins:\n  - { kind: echo, name: echo, runner: persistent, command: [node, ./stubborn.mjs], limits: { graceMs: 200 } }\n',
        {
          'stubborn.mjs': `process.on('SIGTERM', () => undefined); setInterval(() => undefined, 1000);
process.stdin.on('data', (chunk) => { for (const line of chunk.toString().trim().split('\\n')) { const { id, method, params } = JSON.parse(line);
  if (method === 'initialize') console.log(JSON.stringify({ jsonrpc: '2.0', id, result: { protocol: 1, version: '1' } }));
  else if (method !== 'shutdown' && id !== undefined) console.log(JSON.stringify({ jsonrpc: '2.0', id, result: { text: params?.text, pid: process.pid } })); } });`,
        },
      ),
    );
    const { pid } = (await echo(host)) as { pid: number };
    await host.stop();
    await until('it is gone', () => !isAlive(pid));
  });
});

describe('what a plugin asks of its host', () => {
  test('is refused with the line to add if it was not granted', async () => {
    const host = await hostWith((folder) => echoPlugin(folder));
    const { error } = (await host.host.call('echo', 'echo', 'echo/ask', {
      method: 'timers/set',
      params: { id: 't', afterMs: 1 },
    })) as { error: { message: string; data: { code: string } } };
    expect(error.data.code).toBe('NOT_GRANTED');
    expect(error.message).toContain('needs: {timers: true}');
  });

  test('is refused outside the scope that was granted', async () => {
    const host = await hostWith((folder) => echoPlugin(folder, { needs: '{ process: [sleep], plugins: [echo] }' }));
    const ask = async (method: string, params: object) =>
      ((await host.host.call('echo', 'echo', 'echo/ask', { method, params })) as { error?: { message: string } }).error?.message;
    expect(await ask('process/start', { id: 'p', command: ['cat', '/etc/passwd'] })).toContain('needs: {process: [cat]}');
    expect(await ask('plugins/list', { kind: 'security' })).toContain('needs: {plugins: [security]}');
    expect(await ask('process/start', { id: 'p', command: ['sleep', '60'] })).toBeUndefined();
  });

  test('is refused with the field that is wrong', async () => {
    const host = await hostWith((folder) => echoPlugin(folder, { needs: '{ timers: true }' }));
    const { error } = (await host.host.call('echo', 'echo', 'echo/ask', { method: 'timers/set', params: { id: 5 } })) as {
      error: { message: string };
    };
    expect(error.message).toMatch(/params of timers\/set: id must be string/);
  });

  test('is refused when calls go in a circle', async () => {
    const host = await hostWith((folder) =>
      echoPlugin(folder, {
        needs: '{ plugins: [echo] }',
        methods: `'echo/circle': (id, _params, meta) => { const n = 'p' + ++lastId; waiting.set(n, { resolve: () => answer(id, {}), reject: (error) => refuse(id, error.code, error.message) });
          write({ jsonrpc: '2.0', id: n, method: 'plugins/call', params: { kind: 'echo', name: 'echo', method: 'echo/circle', params: {} }, _meta: { depth: meta?.depth ?? 0 } }); },`,
      }),
    );
    await expect(host.host.call('echo', 'echo', 'echo/circle', {})).rejects.toThrow(/nested deeper than 16/);
  });
});

describe('a call', () => {
  test('of a method that the contract of the kind lacks is refused with those that there are', async () => {
    const { path, remove } = temporaryFolder();
    open.push({ stop: remove });
    writeBundle(
      path,
      'judge',
      'bundle: judge\nversion: 1.0.0\nplugins:\n  - { kind: authorizer, name: judge, runner: oneshot, command: [cat] }\n',
    );
    const host = await startHost({ bundles: [path] });
    open.push(host);
    await expect(host.host.call('authorizer', 'judge', 'authorizer/pardon', {})).rejects.toThrow('it has authorizer/authorize');
    await expect(host.host.call('authorizer', 'judge', 'authorizer/authorize', { requests: 5 })).rejects.toMatchObject({
      code: 'INVALID_PARAMS',
    });
    await expect(host.host.call('authorizer', 'judge', 'authorizer/authorize', { requests: [] })).rejects.toMatchObject({
      code: 'CONTRACT',
    });
  });

  test('past a queue that is full is answered with BUSY at once, and with when to try again', async () => {
    const host = await hostWith((folder) => echoPlugin(folder, { limits: '{ concurrency: 2, queue: 3 }' }));
    await echo(host);
    const running = Array.from({ length: 5 }, () => host.host.call('echo', 'echo', 'echo/sleep', { ms: 800 }));
    let ended = 0;
    for (const call of running) void call.then(() => (ended += 1));
    await expect(host.host.call('echo', 'echo', 'echo/sleep', { ms: 1 })).rejects.toMatchObject({
      code: 'BUSY',
      data: { retryAfterMs: expect.any(Number) },
    });
    expect(ended).toBe(0);
    expect(await Promise.all(running)).toHaveLength(5);
  });

  test('that is cancelled reaches the plugin, which may stop', async () => {
    const host = await hostWith((folder) => echoPlugin(folder));
    await echo(host);
    const cancel = new AbortController();
    const sleeping = host.host.call('echo', 'echo', 'echo/sleep', { ms: 60_000 }, { signal: cancel.signal });
    cancel.abort(new Error('changed my mind'));
    await expect(sleeping).rejects.toMatchObject({ code: 'CANCELLED', message: expect.stringContaining('changed my mind') });
    await until('nothing runs any more', () => host.host.list('echo')[0]?.inFlight === 0);
  });
});

test('a log that can not be written ends nobody', () => {
  const log = pathToFileURL(join(distributionRoot(), 'core/host/log.js')).href;
  const program = `import(${JSON.stringify(log)}).then(({ createHostLog }) => {
    const log = createHostLog({ destination: '/dev/full' });
    for (let line = 0; line < 100; line += 1) log.error({}, 'x'.repeat(100));
    setTimeout(() => console.log('lives on'), 50);
  })`;
  expect(spawnSync(process.execPath, ['-e', program], { encoding: 'utf8' })).toMatchObject({ status: 0, stdout: 'lives on\n' });
});

test('two bundles of one name: the first stays, the second is told so', async () => {
  const host = await hostWith((folder) => {
    echoPlugin(folder);
  });
  const { path, remove } = temporaryFolder();
  open.push({ stop: remove });
  mkdirSync(join(path, 'other'));
  writeFileSync(
    join(path, 'other/bundle.yaml'),
    'bundle: echo\nversion: 2.0.0\nplugins:\n  - { kind: other, name: other, runner: oneshot, command: [cat] }\n',
  );
  await expect(host.host.reloadBundle(join(path, 'other'))).rejects.toThrow(/the bundle echo is already loaded from/);
  expect(await echo(host)).toMatchObject({ text: 'x' });
});
