// The host killed with -9: nothing that it started survives.

import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { echoPlugin } from '../support/echo.ts';
import { isAlive, temporaryFolder, until, writeBundle } from '../support/folders.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

const muster = join(distributionRoot(), 'core/cli/main.js');

test('a plugin, a process it forked, a process of the host and a oneshot call end with it', async () => {
  const { path, remove } = temporaryFolder();
  cleanups.push(remove);
  const bundles = join(path, 'bundles');
  mkdirSync(bundles);
  echoPlugin(bundles, {
    start: 'eager',
    needs: '{ process: [sleep], state: true }',
    activate: `ask('process/start', { id: 'helper', command: ['sleep', '61'] }).then(done)`,
  });
  writeBundle(
    bundles,
    'once',
    'bundle: once\nversion: 1.0.0\nplugins:\n  - { kind: once, name: once, runner: oneshot, command: [sleep, "62"] }\n  - { kind: service, name: idle, runner: persistent, command: [node, ./idle.mjs] }\n',
    {
      'idle.mjs': `process.stdin.on('data', (chunk) => { for (const line of chunk.toString().trim().split('\\n')) { const { id, method } = JSON.parse(line); if (id !== undefined) console.log(JSON.stringify({ jsonrpc: '2.0', id, result: method === 'initialize' ? { protocol: 1, version: '1' } : {} })); } }).on('end', () => process.exit());`,
    },
  );
  const state = join(path, 'state');
  writeFileSync(
    join(path, 'host.conf'),
    `plugin.muster.bundles = ${bundles}\nplugin.muster.state = ${state}\nlogfile = ${join(path, 'log')}\n`,
  );
  const host = spawn(process.execPath, [muster, 'run', 'idle', '--config', join(path, 'host.conf')], { stdio: 'ignore' });
  cleanups.push(() => host.kill('SIGKILL'));
  const call = (plugin: string, method: string) =>
    JSON.parse(
      execFileSync(process.execPath, [muster, 'plugin', 'call', plugin, method, '{}', '--state', state], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    );
  const forked = await until('the host answers', () => {
    try {
      return call('echo/echo', 'echo/fork') as { child: number };
    } catch {
      return undefined;
    }
  });
  const plugins = JSON.parse(
    execFileSync(process.execPath, [muster, 'plugin', 'list', '--json', '--state', state], { encoding: 'utf8' }),
  ) as { plugins: { pid: number | null }[] };
  spawn(process.execPath, [muster, 'plugin', 'call', 'once/once', 'once/sleep', '{}', '--state', state], { stdio: 'ignore' });
  const pidsOf = (pattern: string) => {
    try {
      return execFileSync('pgrep', ['-f', pattern], { encoding: 'utf8' }).trim().split('\n').map(Number);
    } catch {
      return [];
    }
  };
  const helpers = await until('the processes run', () => {
    const found = [...pidsOf('^sleep 61$'), ...pidsOf('^sleep 62$')];
    return found.length >= 2 ? found : undefined;
  });
  const children = [forked.child, ...helpers, ...plugins.plugins.flatMap(({ pid }) => (pid === null ? [] : [pid]))];
  expect(children.length).toBeGreaterThan(4);
  expect(children.every(isAlive)).toBe(true);
  host.kill('SIGKILL');
  await until('every one of them has ended', () => children.every((pid) => !isAlive(pid)));
});
