// What authors of plugins have: a plugin attached under their own hands, conversations recorded and played back.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
const { path: folder, remove } = temporaryFolder();
const watched = join(folder, 'bundles');
let running: TestHost;
const children: ChildProcess[] = [];

const talker = `import os, time
from muster_plugin import Plugin, PluginError

plugin = Plugin(version="1.0.0")

@plugin.method("talk/say")
def say(params, call):
    if params.get("fail"):
        raise PluginError("UNAVAILABLE", "not today", {"retryAfterMs": 5})
    for part in range(params.get("parts", 0)):
        call.progress({"part": part})
    return {"text": params["text"].upper(), "pid": os.getpid(), "attached": os.environ.get("ATTACHED", ""), "station": plugin.config["plugin.talk.station"], "token": "t-" + params["text"]}

@plugin.method("talk/ask")
def ask(params, call):
    return plugin.call("host/info", {}, on_behalf_of=call)

plugin.run()
`;
const manifest = `bundle: talker
version: 1.0.0
config:
  keys:
    plugin.talk.station: { type: string, default: north, description: Where }
    plugin.talk.password: { type: string, secret: true, description: Secret }
plugins:
  - { kind: talk, name: talker, runner: persistent, command: [python3, ./talker.py], needs: { host: true } }
  - { kind: talk, name: once, runner: oneshot, command: [cat] }
`;

beforeAll(async () => {
  writeBundle(watched, 'talker', manifest, { 'talker.py': talker });
  running = await startHost({
    watched: [watched],
    control: true,
    config: { 'plugin.talk.station': 'south', 'plugin.talk.password': 'open sesame' },
  });
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    await interrupt(child);
  }
});
afterAll(async () => {
  await running.stop();
  remove();
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function muster(...args: string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { cwd: folder, env: { ...process.env, NO_COLOR: '1' } }, (error, out, err) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
    );
  });
}

/** A command that goes on until it is interrupted, and what it has said so far. */
function begin(...args: string[]): { child: ChildProcess; said: () => string } {
  const child = spawn(process.execPath, [main, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return { child, said: () => text };
}

/** Ends it, and hears out what it has to say. */
async function interrupt(child: ChildProcess): Promise<number | null> {
  const closed = once(child, 'close');
  child.kill('SIGINT');
  await closed;
  return child.exitCode;
}

const say = async (params: object) =>
  (await running.host.call('talk', 'talker', 'talk/say', { text: 'hi', ...params })) as { pid: number; attached: string };

describe('plugin attach', () => {
  test('prints what to paste, with the place of the source and not of the copy that runs', async () => {
    const { code, out } = await muster('plugin', 'attach', 'talker', '--state', running.folder);
    expect(code).toBe(0);
    const source = join(watched, 'talker');
    expect(out).toContain(`talk/talker lies in ${source}. To run it under your own debugger, paste one of these:`);
    expect(out).toContain(
      `muster plugin attach talk/talker --state ${running.folder} -- python3 -m debugpy --listen 5678 --wait-for-client ${source}/talker.py`,
    );
  });

  test('runs a command as the plugin until it ends, then the host runs its own again', async () => {
    const before = await say({});
    expect(before.attached).toBe('');
    const { child, said } = begin(
      'plugin',
      'attach',
      'talker',
      '--state',
      running.folder,
      '--',
      'env',
      'ATTACHED=yes',
      'python3',
      join(watched, 'talker/talker.py'),
    );
    await until('the attached one answers', async () => (await say({})).attached === 'yes');
    await until('it says so', () => said().includes('talk/talker is attached; press Ctrl-C to let go of it'));
    expect(running.host.list('talk').find(({ name }) => name === 'talker')?.runner).toBe('attached');
    await interrupt(child);
    await until('the own one answers', async () => (await say({}).catch(() => ({ attached: 'not yet' }))).attached === '');
    expect(running.host.list('talk').find(({ name }) => name === 'talker')?.runner).toBe('persistent');
  });

  test('that can not be started leaves the running one alone', async () => {
    const { pid } = await say({});
    const { code, err } = await muster('plugin', 'attach', 'talker', '--state', running.folder, '--', './no-such-program');
    expect([code, err]).toEqual([1, expect.stringContaining('muster: ./no-such-program could not be started')]);
    expect((await say({})).pid).toBe(pid);
  });

  test('of a oneshot tells how to run it once', async () => {
    expect((await muster('plugin', 'attach', 'once', '--state', running.folder)).out).toMatch(
      /\| env -i .*MUSTER_METHOD='?talk\/…'? .*cat$/m,
    );
  });

  test.each([['nobody', 'there is no plugin nobody']])('of %s is refused', async (name, message) => {
    const { code, err } = await muster('plugin', 'attach', name, '--state', running.folder);
    expect([code, err]).toEqual([1, expect.stringContaining(message)]);
  });
});

describe('plugin record and replay', () => {
  const file = join(folder, 'talk.jsonl');

  test('keep a conversation, secrets masked, for the owner only', async () => {
    const recorder = begin(
      'plugin',
      'record',
      'talker',
      '--state',
      running.folder,
      '-o',
      file,
      '--ignore',
      'result.pid',
      'result.*id',
      'result.*',
    );
    await until('it records', () => recorder.said().includes('recording talk/talker into'));
    await until('the host is watched', () => running.host.traces.watched);
    await say({ parts: 2 });
    await say({ text: 'my open sesame', password: 'x1y2' });
    await say({ fail: true }).catch(() => undefined);
    await running.host.call('talk', 'talker', 'talk/ask', {});
    await until('all is written', () => readFileSync(file, 'utf8').trim().split('\n').length === 6);
    expect(await interrupt(recorder.child)).toBe(0);
    expect(recorder.said()).toContain(`has 4 calls; play it back with: muster plugin replay ${join(watched, 'talker')} ${file}`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const text = readFileSync(file, 'utf8');
    expect(text).not.toContain('open sesame');
    expect(text).not.toContain('x1y2');
    const [head, first, second, third, asked, fourth] = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(head).toMatchObject({
      recording: 1,
      plugin: 'talk/talker',
      config: { 'plugin.talk.station': 'south', 'plugin.talk.password': '(masked)' },
    });
    expect(first).toMatchObject({
      what: 'call',
      method: 'talk/say',
      progress: [{ part: 0 }, { part: 1 }],
      result: { text: 'HI', token: '(masked)' },
    });
    expect(second).toMatchObject({ params: { text: '(masked)', password: '(masked)' } });
    expect(third).toMatchObject({ error: { code: 'UNAVAILABLE', message: 'not today', data: { retryAfterMs: 5 } } });
    expect(asked).toMatchObject({ what: 'capability', method: 'host/info' });
    expect(fourth).toMatchObject({ method: 'talk/ask', result: { pid: process.pid } });
  });

  /** The recording, told to look away where it has to. */
  function recording(ignore: readonly string[]): string {
    const [head = '', ...rest] = readFileSync(file, 'utf8').trim().split('\n');
    const target = join(folder, 'checked.jsonl');
    writeFileSync(target, [JSON.stringify({ ...JSON.parse(head), ignore }), ...rest].join('\n'));
    return target;
  }

  test('play it back: the same again passes, with what it asked answered from the recording', async () => {
    const { code, out } = await muster('plugin', 'replay', join(watched, 'talker'), recording(['result.pid']));
    expect(out).toContain('4 passed, 0 failed');
    expect(code).toBe(0);
  });

  test('tell each difference by its place, and fail', async () => {
    const changed = join(folder, 'changed/talker');
    cpSync(join(watched, 'talker'), changed, { recursive: true });
    writeFileSync(
      join(changed, 'talker.py'),
      talker.replace('.upper()', '.title()').replace('{"part": part}', '{"part": part + 1}'),
    );
    const { code, out } = await muster('plugin', 'replay', changed, recording(['result.pid']));
    expect(code).toBe(1);
    expect(out).toContain('DIFFERS  1 talk/say');
    expect(out).toContain('      progress.0.part: 0 then, 1 now\n');
    expect(out).toContain('      result.text: "HI" then, "Hi" now\n');
    expect(out).toMatch(/\n3 passed, 1 failed\n$/);
  });

  test('places that differ from time to time are ignored when asked to', async () => {
    const without = await muster('plugin', 'replay', join(watched, 'talker'), recording([]), '--json');
    const { outcomes } = JSON.parse(without.out) as { outcomes: { differences: string[] }[] };
    expect(outcomes[0]?.differences).toEqual([expect.stringMatching(/^result\.pid: \d+ then, \d+ now$/)]);
    expect((await muster('plugin', 'replay', join(watched, 'talker'), recording([]), '--ignore', 'result.pid')).code).toBe(0);
  });

  test.each([
    ['no-such-file', /no-such-file: cannot be read/],
    ['bundles/talker/bundle.yaml', /bundle\.yaml:1: /],
  ])('a recording that is none is refused: %s', async (name, message) => {
    const { code, err } = await muster('plugin', 'replay', join(watched, 'talker'), join(folder, name));
    expect([code, err]).toEqual([1, expect.stringMatching(message)]);
  });

  test('an existing file is not replaced unasked', async () => {
    const { code, err } = await muster('plugin', 'record', 'talker', '--state', running.folder, '-o', file);
    expect([code, err]).toEqual([
      1,
      expect.stringContaining('is already there; name another with -o, or replace it with --force'),
    ]);
  });
});

test('plugin trace --details shows what was said, and what a plugin asked', async () => {
  const tracer = begin('plugin', 'trace', 'talker', '--details', '--state', running.folder);
  await until('the host is watched', () => running.host.traces.watched);
  await running.host.call('talk', 'talker', 'talk/ask', {});
  await until('both are shown', () => ['talk/talker talk/ask', 'asks: host/info'].every((text) => tracer.said().includes(text)));
  await until('the details are shown', () => /^ {4}→ \{\}\n {4}← \{"version":/m.test(tracer.said()));
  expect(tracer.said()).toContain('talk/talker asks: host/info');
});
