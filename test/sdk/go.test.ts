// The Go SDK: built with the tool chain of this machine, and held to what the others are held to.

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testBundle } from '../../core/conformance/kit.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const hasGo = spawnSync('go', ['version']).status === 0;

test.skipIf(hasGo)('Go is not installed here: the Go SDK was not tested', () => undefined);

describe.runIf(hasGo)('a plugin in Go', () => {
  const { path: folder, remove } = temporaryFolder();
  const bundle = join(folder, 'fixtures/bundles/echo-go');
  let running: TestHost;

  beforeAll(async () => {
    // The same layout as in the checkout, so that the module finds the SDK.
    mkdirSync(join(folder, 'core/sdk'), { recursive: true });
    cpSync(join(root, 'core/sdk/go'), join(folder, 'core/sdk/go'), { recursive: true });
    cpSync(join(root, 'fixtures/bundles/echo-go'), bundle, { recursive: true });
    const built = spawnSync('go', ['build', '-o', 'echo', '.'], { cwd: bundle, encoding: 'utf8' });
    expect([built.status, built.stderr]).toEqual([0, expect.any(String)]);
    const vetted = spawnSync('go', ['vet', './...'], { cwd: join(folder, 'core/sdk/go'), encoding: 'utf8' });
    expect([vetted.status, vetted.stderr]).toEqual([0, '']);
    running = await startHost({ bundles: [join(folder, 'fixtures/bundles')] });
  }, 180_000);
  afterAll(async () => {
    await running.stop();
    remove();
  });

  const call = (method: string, params: object = {}, options: Parameters<TestHost['host']['call']>[4] = {}) =>
    running.host.call('echo', 'echo_go', `echo/${method}`, { ...params }, options);

  test('passes the conformance kit', async () => {
    const outcomes = await testBundle(running.runtime, bundle);
    expect(outcomes.filter(({ passed }) => !passed)).toEqual([]);
    expect(outcomes.length).toBeGreaterThan(20);
  }, 60_000);

  test('answers calls side by side, and what it prints is in the log', async () => {
    const waiting = Promise.all(Array.from({ length: 20 }, () => call('wait', { ms: 300 })));
    const text = 'ßäöü 東京 🐹 "quoted"\n';
    expect(await call('echo', { text })).toEqual({ text });
    expect(await waiting).toHaveLength(20);
    await until('the print is logged', () => running.log.some(({ message }) => message === 'a print does no harm'));
  });

  test('stops a call that is cancelled or whose time is over', async () => {
    const cancel = new AbortController();
    const waiting = call('wait', { ms: 60_000 }, { signal: cancel.signal });
    cancel.abort(new Error('enough'));
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(call('wait', { ms: 60_000 }, { deadlineMs: 100 })).rejects.toMatchObject({ code: 'DEADLINE' });
    await until('nothing runs any more', () => running.host.list('echo')[0]?.inFlight === 0);
  });

  test('keeps the code of an error; a panic ends the call and not the plugin', async () => {
    await expect(call('fail', { Code: 'NOT_FOUND' })).rejects.toMatchObject({ code: 'NOT_FOUND', message: 'as you wish' });
    await expect(call('fail')).rejects.toMatchObject({ code: 'INTERNAL', message: 'the handler failed: as you wish' });
    expect(running.host.list('echo')[0]).toMatchObject({ state: 'ready', restarts: 0 });
  });

  test('streams, and asks the host', async () => {
    const parts: unknown[] = [];
    expect(await call('count', {}, { onProgress: (part) => parts.push(part) })).toEqual({ counted: 3 });
    expect(parts).toEqual([{ number: 0 }, { number: 1 }, { number: 2 }]);
    expect(await call('capability')).toEqual({ refused: 'NOT_GRANTED', folder: expect.stringContaining('echo.echo_go') });
  });
});
