// The Python SDK: handlers that block do not stop anything else.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { shapeBundle } from '../support/languages.ts';
import { describeShape } from '../support/sdk-shape.ts';

describeShape('an agent in Python', { kit: false, bundle: (parent) => shapeBundle('python', parent) });

const manifest = `bundle: snake
version: 1.0.0
plugins:
  - kind: snake
    name: snake
    runner: persistent
    command: [python3, ./snake.py]
    needs: { metrics: true, state: true }
`;
const source = `import time
from muster_plugin import Plugin, PluginError

plugin = Plugin(version="2.3.4")

@plugin.method("snake/block")
def block(params, call):
    time.sleep(params["seconds"])
    return {"blocked": params["seconds"]}

@plugin.method("snake/wait")
def wait(params, call):
    call.sleep(60)

@plugin.method("snake/quick")
def quick(params, call):
    print("a print does no harm")
    return {"text": params.get("text"), "trace": call.trace, "left": call.remaining() is not None}

@plugin.method("snake/fail")
def fail(params, call):
    if params.get("code"):
        raise PluginError(params["code"], "as you wish")
    raise ValueError("a bad value")

@plugin.method("snake/count")
def count(params, call):
    for number in range(3):
        call.progress({"number": number})
    return {"counted": 3}

@plugin.method("snake/capability")
def capability(params, call):
    plugin.call("metrics/set", {"name": "snakes", "value": 1, "labels": {}}, on_behalf_of=call)
    try:
        plugin.call("timers/set", {"id": "x", "afterMs": 1}, on_behalf_of=call)
    except PluginError as error:
        return {"refused": error.code, "folder": plugin.state_folder}

print("said while it loads")
plugin.run()
`;

let running: TestHost;
let remove: () => void;
beforeAll(async () => {
  const { path, remove: clean } = temporaryFolder();
  remove = clean;
  writeBundle(path, 'snake', manifest, { 'snake.py': source });
  running = await startHost({ bundles: [path] });
});
afterAll(async () => {
  await running.stop();
  remove();
});

const call = (method: string, params: object = {}, options: Parameters<TestHost['host']['call']>[4] = {}) =>
  running.host.call('snake', 'snake', `snake/${method}`, { ...params }, options);

test('a ping is answered while handlers block, and other calls go on', async () => {
  let isOver = false;
  const blocked = Promise.all(Array.from({ length: 8 }, () => call('block', { seconds: 4 }))).finally(() => {
    isOver = true;
  });
  await call('quick', { text: 'now' });
  expect(isOver).toBe(false);
  expect(await blocked).toHaveLength(8);
});

test('eight that block for a second take about one second together, not eight', async () => {
  await call('block', { seconds: 0.1 });
  const started = Date.now();
  await Promise.all(Array.from({ length: 8 }, () => call('block', { seconds: 1 })));
  expect(Date.now() - started).toBeLessThan(6_000);
});

test('a call that waits is cancelled at once', async () => {
  const cancel = new AbortController();
  const waiting = call('wait', {}, { signal: cancel.signal });
  setTimeout(() => cancel.abort(new Error('enough')), 50);
  await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
  expect(await call('quick')).toMatchObject({ text: null });
});

test('what is printed before it runs goes to the log as well', async () => {
  await call('quick', { text: 'x' });
  const line = await until('it is logged', () => running.log.find(({ message }) => message === 'said while it loads'));
  expect(line).toMatchObject({ level: 'info' });
});

test('text of any script comes back as it went', async () => {
  const text = 'ßäöü 東京 🐍 "quoted"\n\u0000 line';
  expect(await call('quick', { text }, { trace: 't1', deadlineMs: 20_000 })).toEqual({ text, trace: 't1', left: true });
  await until('the print is logged', () => running.log.some(({ message }) => message === 'a print does no harm'));
});

test('errors keep their code; an exception is an internal error with its words', async () => {
  await expect(call('fail', { code: 'NOT_FOUND' })).rejects.toMatchObject({ code: 'NOT_FOUND', message: 'as you wish' });
  await expect(call('fail')).rejects.toMatchObject({ code: 'INTERNAL', message: 'a bad value' });
});

test('parts of an answer come before it, in order', async () => {
  const parts: unknown[] = [];
  expect(await call('count', {}, { onProgress: (part) => parts.push(part) })).toEqual({ counted: 3 });
  expect(parts).toEqual([{ number: 0 }, { number: 1 }, { number: 2 }]);
});

test('capabilities are called from a handler, and refusals are errors with a code', async () => {
  expect(await call('capability')).toEqual({ refused: 'NOT_GRANTED', folder: expect.stringContaining('snake.snake') });
});

test('thousands of calls at once are each answered with their own', async () => {
  const answers = (await Promise.all(Array.from({ length: 300 }, (_, index) => call('quick', { text: String(index) })))) as {
    text: string;
  }[];
  expect(answers.map(({ text }) => text)).toEqual(Array.from({ length: 300 }, (_, index) => String(index)));
});
