// What a plugin may be: a program that is kept, one process a call, a module.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { echoPlugin } from '../support/echo.ts';
import { isAlive, temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

const open: { stop(): Promise<void> | void }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.stop();
});

async function hostWith(bundles: (folder: string) => void, options: Parameters<typeof startHost>[0] = {}): Promise<TestHost> {
  const { path, remove } = temporaryFolder();
  open.push({ stop: remove });
  bundles(path);
  const host = await startHost({ bundles: [path], ...options });
  open.push(host);
  return host;
}

describe('a persistent plugin', () => {
  test('is started on its first call and kept', async () => {
    const { host } = await hostWith((folder) => echoPlugin(folder));
    expect(host.list('echo')[0]?.state).toBe('idle');
    const first = (await host.call('echo', 'echo', 'echo/echo', { text: 'one' })) as { pid: number };
    const second = (await host.call('echo', 'echo', 'echo/echo', { text: 'two' })) as { pid: number };
    expect(second).toEqual({ text: 'two', pid: first.pid });
    expect(host.list('echo')[0]).toMatchObject({ state: 'ready', pid: first.pid, calls: 2, errors: 0 });
  });

  test('is restarted after it crashed, and the call that it did not live to answer says so', async () => {
    const { host } = await hostWith((folder) => echoPlugin(folder));
    const { pid } = (await host.call('echo', 'echo', 'echo/echo', { text: '' })) as { pid: number };
    const lost = host.call('echo', 'echo', 'echo/sleep', { ms: 5_000 });
    process.kill(pid, 'SIGKILL');
    await expect(lost).rejects.toMatchObject({ code: 'GONE' });
    const next = (await host.call('echo', 'echo', 'echo/echo', { text: 'back' })) as { pid: number };
    expect(next.pid).not.toBe(pid);
  });

  test('that is idle is ended after its idle time, and comes back when it is called', async () => {
    const { host } = await hostWith((folder) => echoPlugin(folder, { limits: '{ idleMs: 200 }' }));
    const { pid } = (await host.call('echo', 'echo', 'echo/echo', { text: '' })) as { pid: number };
    await until('the idle plugin has ended', () => !isAlive(pid));
    await until('its end is known', () => host.list('echo')[0]?.state === 'idle');
    expect(await host.call('echo', 'echo', 'echo/echo', { text: 'again' })).toMatchObject({ text: 'again' });
  });

  test('gets what its manifest names of the environment and nothing else', async () => {
    process.env.MUSTER_TEST_GRANTED = 'yes';
    process.env.MUSTER_TEST_SECRET = 'canary';
    const { host } = await hostWith((folder) => echoPlugin(folder, { needs: '{ env: [MUSTER_TEST_GRANTED] }' }));
    const { env } = (await host.call('echo', 'echo', 'echo/env', {})) as { env: Record<string, string> };
    expect(env.MUSTER_TEST_GRANTED).toBe('yes');
    expect(env).not.toHaveProperty('MUSTER_TEST_SECRET');
    expect(env.PATH).toBe(process.env.PATH);
    expect(env.HOME).not.toBe(process.env.HOME);
  });

  test('leads a process group of its own', async () => {
    const { host } = await hostWith((folder) => echoPlugin(folder));
    const { pid } = (await host.call('echo', 'echo', 'echo/echo', { text: '' })) as { pid: number };
    expect(() => process.kill(-pid, 0)).not.toThrow();
  });

  test('that is done with takes the processes that it forked with it', async () => {
    const { host, stop } = await hostWith((folder) => echoPlugin(folder));
    const { child } = (await host.call('echo', 'echo', 'echo/fork', {})) as { child: number };
    expect(isAlive(child)).toBe(true);
    await stop();
    await until('the forked process has ended', () => !isAlive(child));
  });
});

describe('a oneshot plugin', () => {
  const manifest = (command: string) =>
    `bundle: once\nversion: 1.0.0\nplugins:\n  - { kind: once, name: once, runner: oneshot, command: ${command} }\n`;

  test('gets the params on stdin and the method in the environment, and answers on stdout', async () => {
    const { host } = await hostWith((folder) =>
      writeBundle(folder, 'once', manifest('[sh, ./once.sh]'), {
        'once.sh': 'printf \'{"method":"%s","params":%s}\' "$MUSTER_METHOD" "$(cat)"\n',
      }),
    );
    expect(await host.call('once', 'once', 'once/do', { n: 1 })).toEqual({ method: 'once/do', params: { n: 1 } });
  });

  test('is not started by the host itself, whose memory would slow that, but by its launcher', async () => {
    const { host } = await hostWith((folder) =>
      writeBundle(folder, 'once', manifest('[sh, ./once.sh]'), { 'once.sh': `printf '{"parent":%s}' "$PPID"\n` }),
    );
    const { parent } = (await host.call('once', 'once', 'once/do', {})) as { parent: number };
    expect(parent).not.toBe(process.pid);
    expect(readFileSync(`/proc/${parent}/cmdline`, 'utf8')).toContain('launcher-process.js');
  });

  test('that fails answers with the last line of its stderr', async () => {
    const { host } = await hostWith((folder) =>
      writeBundle(folder, 'once', manifest('[sh, ./once.sh]'), {
        'once.sh': 'echo working >&2; echo "the disk is full" >&2; exit 3\n',
      }),
    );
    await expect(host.call('once', 'once', 'once/do', {})).rejects.toThrow('the disk is full');
  });

  test('that fails with an error object on stderr keeps its code', async () => {
    const { host } = await hostWith((folder) =>
      writeBundle(folder, 'once', manifest('[sh, ./once.sh]'), {
        'once.sh': 'echo \'{"code":-32008,"message":"no such thing","data":{"code":"NOT_FOUND"}}\' >&2; exit 1\n',
      }),
    );
    await expect(host.call('once', 'once', 'once/do', {})).rejects.toMatchObject({ code: 'NOT_FOUND', message: 'no such thing' });
  });

  test('that prints no JSON is refused with what it printed', async () => {
    const { host } = await hostWith((folder) => writeBundle(folder, 'once', manifest('[echo, hello]')));
    await expect(host.call('once', 'once', 'once/do', {})).rejects.toMatchObject({
      code: 'CONTRACT',
      message: expect.stringContaining('hello'),
    });
  });

  test('is ended with its whole group when its deadline passes', async () => {
    const { host, folder } = await hostWith((parent) =>
      writeBundle(parent, 'once', manifest('[sh, ./once.sh]').replace('version: 1.0.0', 'version: 1.0.0'), {
        'once.sh': 'sleep 60 & echo $! > "$HOME/child"; wait\n',
      }),
    );
    await expect(host.call('once', 'once', 'once/do', {}, { deadlineMs: 5_000 })).rejects.toMatchObject({ code: 'DEADLINE' });
    const child = Number(readFileSync(join(folder, 'plugins/once.once/work/child'), 'utf8'));
    await until('the grandchild has ended', () => !isAlive(child));
  });
});

describe('a plugin in TypeScript', () => {
  const manifest = (runner: string) =>
    `bundle: typed\nversion: 1.0.0\nplugins:\n  - { kind: typed, name: typed, runner: ${runner}, module: ./typed.ts }\n`;
  const source = `import { definePlugin } from 'muster/sdk';
console.log('a print does no harm');
export default definePlugin({ kind: 'typed', version: '1', methods: { 'typed/add': ({ a, b }: { a: number; b: number }) => ({ sum: a + b }) } });
`;

  test('runs as it is, without a build', async () => {
    const { host, log } = await hostWith((folder) =>
      writeBundle(folder, 'typed', manifest('persistent'), { 'typed.ts': source }),
    );
    expect(await host.call('typed', 'typed', 'typed/add', { a: 2, b: 3 })).toEqual({ sum: 5 });
    await until('the print is in the log', () => log.some(({ message }) => message === 'a print does no harm'));
    expect(log.filter(({ level }) => level === 'warn')).toEqual([]);
  });
});
