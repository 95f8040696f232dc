// The TypeScript SDK: agents and plugins by its helpers, as a process and in the host's own.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testBundle } from '../../core/conformance/kit.ts';
import { distributionRoot } from '../../core/host/distribution.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

const manifest = (runner: string) => `bundle: clerk
version: 1.0.0
config:
  keys:
    plugin.clerk.greeting: { type: string, default: Hello, description: How people are greeted }
plugins:
  - kind: agent
    name: clerk
    runner: ${runner}
    module: ./clerk.mjs
    needs: { metrics: true, state: true }
`;
/** As first-party plugins do: a module in the host's own process finds the SDK by its path. */
const byPath = pathToFileURL(join(distributionRoot(), 'core/sdk/typescript/index.js')).href;
const source = (sdk: string) => `import { setTimeout as sleep } from 'node:timers/promises';
import { ActionError, defineAgent } from '${sdk}';

export default defineAgent({
  name: 'clerk',
  version: '1.2.3',
  create: (host) => {
    let served = 0;
    return {
      actions: {
        greet: ({ name }, call) => {
          served += 1;
          call.log.warn('a greeting', { of: name });
          return { text: host.config['plugin.clerk.greeting'] + ', ' + name, caller: call.request.caller, served };
        },
        print: () => void console.log('a print does no harm'),
        refuse: () => {
          throw new ActionError('not today', { status: 4, data: { again: 'tomorrow' } });
        },
        fail: () => {
          throw new RangeError('out of hand');
        },
        wait: (_input, call) => sleep(60_000, undefined, { signal: call.signal }),
        count: async (_input, call) => {
          for (const number of [0, 1, 2]) await call.progress({ number });
          return { counted: 3, left: call.remainingMs() < 10_000 };
        },
        capability: async (_input, call) => {
          await host.call('metrics/set', { name: 'clerks', value: 1, labels: {} }, { for: call });
          const refused = await host.call('timers/set', { id: 'x', afterMs: 1 }, { for: call }).catch((error) => error.code);
          return { refused, folder: host.stateFolder };
        },
      },
    };
  },
});
`;

describe.each(['persistent', 'inline'])('an agent in TypeScript, %s', (runner) => {
  const { path, remove } = temporaryFolder();
  let running: TestHost;
  beforeAll(async () => {
    writeBundle(path, 'clerk', manifest(runner), {
      'clerk.mjs': source(runner === 'inline' ? byPath : 'muster/sdk'),
    });
    running = await startHost({ bundles: [path], config: { 'plugin.clerk.greeting': 'Good day' } });
  });
  afterAll(async () => {
    await running.stop();
    remove();
  });

  const invoke = (action: string, data: object = {}, options: Parameters<TestHost['host']['call']>[4] = {}) =>
    running.host.call(
      'agent',
      'clerk',
      'agent/invoke',
      { agent: 'clerk', action, data: { ...data }, request: { caller: 'choria=ann' } },
      options,
    );

  test('answers with data; it knows its configuration, who asked, and its own state', async () => {
    const first = await invoke('greet', { name: 'Bob' });
    const reply = { text: 'Good day, Bob', caller: 'choria=ann', served: 1 };
    expect(first).toEqual({ statuscode: 0, statusmsg: 'OK', data: reply });
    expect(await invoke('greet', { name: 'Bob' })).toMatchObject({ data: { served: 2 } });
    await until('the log tells it with its level', () =>
      running.log.some(({ level, message, fields }) => level === 'warn' && message === 'a greeting' && fields.of === 'Bob'),
    );
  });

  test('ends with the status, the words and the data of an ActionError', async () => {
    expect(await invoke('refuse')).toEqual({ statuscode: 4, statusmsg: 'not today', data: { again: 'tomorrow' } });
  });

  test.each(['dance', 'constructor', '__proto__'])('has no action %s: status 2', async (action) => {
    expect(await invoke(action)).toEqual({ statuscode: 2, statusmsg: `Unknown action ${action} for agent clerk`, data: {} });
  });

  test('fails the call, and not the plugin, over any other error', async () => {
    await expect(invoke('fail')).rejects.toMatchObject({ code: 'INTERNAL', message: 'out of hand' });
    expect(await invoke('print')).toEqual({ statuscode: 0, statusmsg: 'OK', data: {} });
    expect(running.host.list('agent')[0]).toMatchObject({ state: 'ready', restarts: 0 });
  });

  test('stops when the caller gives up or the time is over', async () => {
    const cancel = new AbortController();
    const waiting = invoke('wait', {}, { signal: cancel.signal });
    cancel.abort(new Error('enough'));
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(invoke('wait', {}, { deadlineMs: 100 })).rejects.toMatchObject({ code: 'DEADLINE' });
    await until('nothing runs any more', () => running.host.list('agent')[0]?.inFlight === 0);
  });

  test('streams, and asks the host', async () => {
    const parts: unknown[] = [];
    const options = { deadlineMs: 9_000, onProgress: (part: unknown) => parts.push(part) };
    expect(await invoke('count', {}, options)).toMatchObject({ data: { counted: 3, left: true } });
    expect(parts).toEqual([{ number: 0 }, { number: 1 }, { number: 2 }]);
    const data = { refused: 'NOT_GRANTED', folder: expect.stringContaining('agent.clerk') };
    expect(await invoke('capability')).toMatchObject({ data });
  });

  test.runIf(runner === 'persistent')(
    'passes the conformance kit, and what it prints is in the log',
    async () => {
      expect((await testBundle(running.runtime, join(path, 'clerk'))).filter(({ passed }) => !passed)).toEqual([]);
      await invoke('print');
      await until('the print is logged', () => running.log.some(({ message }) => message === 'a print does no harm'));
    },
    60_000,
  );
});
