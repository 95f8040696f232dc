// What every SDK has to do, whatever the language: the bundle fixtures/sdk/<language> is put to it.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testBundle } from '../../core/conformance/kit.ts';
import { temporaryFolder, until, writeBundle } from './folders.ts';
import { startHost, type TestHost } from './hosts.ts';

const facts = `bundle: facts
version: 1.0.0
plugins:
  - { kind: facts, name: node, runner: oneshot, command: [./facts.sh] }
`;
const factsScript = `#!/bin/sh
case "$(cat)" in
  *os.family*) echo '{"value":"Debian"}' ;;
  *path*) echo '{"value":null}' ;;
  *) echo '{"value":{"os":{"family":"Debian"}}}' ;;
esac
`;

export interface ShapeOptions {
  /** Makes the bundle below a folder and returns its own. */
  readonly bundle: (parent: string) => string;
  /** Whether the SDK checks the types of inputs at run time. */
  readonly typed?: boolean;
  /** Whether deliveries come to a handler of their method. */
  readonly deliveries?: boolean;
  /** Whether it is a process, which prints and can be put to the kit. */
  readonly process?: boolean;
  /** Whether it is put to the kit, which takes long where the language starts slowly. */
  readonly kit?: boolean;
}

/** What a way of being run does not have is no test of it, rather than one that is skipped. */
const testIf = (applies: boolean) => (applies ? test : (..._notHere: unknown[]) => undefined);

export function describeShape(
  title: string,
  { bundle, typed = true, deliveries = true, process = true, kit = process }: ShapeOptions,
): void {
  describe(title, () => {
    const { path, remove } = temporaryFolder();
    let folder: string;
    let running: TestHost;
    beforeAll(async () => {
      folder = bundle(path);
      writeBundle(path, 'facts', facts, { 'facts.sh': factsScript });
      running = await startHost({ bundles: [path], config: { 'plugin.shape.greeting': 'Ha', 'plugin.shape.times': 2 } });
    }, 300_000);
    afterAll(async () => {
      await running.stop();
      remove();
    });

    const invoke = (action: string, data: object = {}, options: Parameters<TestHost['host']['call']>[4] = {}) =>
      running.host.call(
        'agent',
        'shape',
        'agent/invoke',
        { agent: 'shape', action, data: { ...data }, request: { caller: 'choria=ann', ttl: 60, time: 1_700_000_000 } },
        options,
      );
    const ok = (data: object) => ({ statuscode: 0, statusmsg: 'OK', data });
    const logged = (text: string) => running.log.find(({ message }) => message === text);

    test('answers with data; it knows its configuration and who asked, and logs with a level', async () => {
      const name = 'ßäöü 東京 🐹 "quoted"\n\u0000 line';
      expect(await invoke('greet', { name })).toEqual(ok({ text: `HaHa, ${name}`, caller: 'choria=ann' }));
      const line = await until('the greeting is logged', () => logged('a greeting'));
      expect(line).toMatchObject({ level: 'warn', fields: { of: name } });
    });

    testIf(typed)('takes typed input; what does not fit ends with status 4 and the name of the input', async () => {
      expect(await invoke('double', { number: 21 })).toEqual(ok({ number: 42 }));
      const refused = { statuscode: 4, statusmsg: expect.stringMatching(/^input number\b/), data: {} };
      expect(await invoke('double', { number: 'many' })).toEqual(refused);
      expect(await invoke('double', { number: 1.5 })).toEqual(refused);
      expect(await invoke('double', { number: 1, note: 'well' })).toEqual(ok({ number: 2 }));
    });

    test('ends an action with a status, words and data', async () => {
      expect(await invoke('refuse')).toEqual({ statuscode: 4, statusmsg: 'not today', data: { again: 'tomorrow' } });
    });

    test.each(['dance', 'constructor', '__proto__'])('has no action %s: status 2', async (action) => {
      expect(await invoke(action)).toEqual({ statuscode: 2, statusmsg: `Unknown action ${action} for agent shape`, data: {} });
    });

    test('keeps the code of an error; an exception ends its call and no other', async () => {
      const cancel = new AbortController();
      const waiting = invoke('wait', {}, { signal: cancel.signal });
      await until('it waits', () => running.host.list('agent')[0]?.inFlight === 1);
      await expect(invoke('error')).rejects.toMatchObject({ code: 'NOT_FOUND', message: 'as you wish' });
      await expect(invoke('fail')).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringContaining('out of hand') });
      expect(running.host.list('agent')[0]).toMatchObject({ state: 'ready', restarts: 0, inFlight: 1 });
      cancel.abort(new Error('enough'));
      await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    });

    test('stops a call that is cancelled or whose time is over, while others go on', async () => {
      const cancel = new AbortController();
      const waiting = Array.from({ length: 8 }, () => invoke('wait', {}, { signal: cancel.signal }));
      expect(await invoke('greet', { name: 'you' })).toMatchObject({ statuscode: 0 });
      cancel.abort(new Error('enough'));
      for (const one of waiting) await expect(one).rejects.toMatchObject({ code: 'CANCELLED' });
      await expect(invoke('wait', {}, { deadlineMs: 300 })).rejects.toMatchObject({ code: 'DEADLINE' });
      await until('nothing runs any more', () => running.host.list('agent')[0]?.inFlight === 0, 30_000);
    });

    test('streams, and knows the time that is left', async () => {
      const parts: unknown[] = [];
      const options = { deadlineMs: 20_000, onProgress: (part: unknown) => parts.push(part) };
      expect(await invoke('count', {}, options)).toEqual(ok({ counted: 3, timed: true }));
      expect(parts).toEqual([{ number: 0 }, { number: 1 }, { number: 2 }]);
    });

    test('asks the host; what was not granted is an error with a code', async () => {
      const answer = await invoke('capability');
      expect(answer).toEqual(ok({ refused: 'NOT_GRANTED', folder: expect.stringContaining('agent.shape') }));
    });

    test('is told facts', async () => {
      expect(await invoke('fact', { path: 'os.family' })).toEqual(ok({ value: 'Debian' }));
      expect(await invoke('fact', { path: 'os.moon' })).toEqual(ok({ value: null }));
      expect(await invoke('fact')).toEqual(ok({ value: { os: { family: 'Debian' } } }));
    });

    testIf(deliveries)('gets deliveries of one subscription one after the other, with their bytes', async () => {
      const plugin = running.host.plugin('agent', 'shape');
      const deliver = (number: number) =>
        plugin?.deliver('bus/message', { subscription: 's', subject: 'x', payload: Buffer.from([number]) }, 20_000);
      await Promise.all([0, 1, 2, 3, 4].map(deliver));
      expect(await invoke('order')).toEqual(ok({ seen: [0, 1, 2, 3, 4] }));
    });

    testIf(process)('may print: it lands in the log, also from a child', async () => {
      expect(await invoke('print')).toEqual(ok({}));
      await until('the print is logged', () => logged('a print does no harm'));
      await until('that of the child is logged', () => logged('nor does that of a child'));
      expect(running.log.filter(({ message }) => message.includes('violation'))).toEqual([]);
    });

    testIf(kit)(
      'passes the conformance kit',
      async () => {
        const outcomes = await testBundle(running.runtime, folder);
        expect(outcomes.filter(({ passed }) => !passed)).toEqual([]);
        expect(outcomes.length).toBeGreaterThan(20);
      },
      240_000,
    );
  });
}
