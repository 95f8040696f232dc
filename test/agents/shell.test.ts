// The agent `shell`: real commands, real jobs that outlive the agent and the node.

import { readdirSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { isAlive, temporaryFolder, until } from '../support/folders.ts';
import { hostileTexts, wasTakenForACommand } from '../support/hostile.ts';
import type { TestHost } from '../support/hosts.ts';

interface Status {
  readonly status: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdout_offset: number;
  readonly stderr_offset: number;
  readonly exitcode?: number;
}

const { path: folder, remove } = temporaryFolder();
const on = { 'plugin.shell.enabled': true };
let fleet: Fleet;
let node: TestHost;
let client: TestClient;

const ask = (action: string, data: Record<string, unknown> = {}, identity = 'shell.test') =>
  client.ask(identity, 'shell', action, data, { timeoutMs: 30_000 });
const run = async (command: string, more: object = {}) =>
  (await ask('run', { command, ...more })).data as Record<string, unknown>;
async function start(command: string, identity?: string): Promise<string> {
  const reply = await ask('start', { command }, identity);
  expect([reply.statuscode, reply.statusmsg]).toEqual([0, 'OK']);
  return (reply.data as { handle: string }).handle;
}
const status = async (handle: string, offsets: object = {}, identity?: string) =>
  (await ask('status', { handle, ...offsets }, identity)).data as unknown as Status;
const jobs = async (identity?: string) =>
  (await ask('list', {}, identity)).data as { jobs: Record<string, Record<string, unknown>> };
const ended = (handle: string, identity?: string) =>
  until(
    'the job has ended',
    async () => {
      const now = await status(handle, {}, identity);
      return now.status === 'stopped' ? now : undefined;
    },
    30_000,
  );
/** The number that a command wrote first, mostly its own. */
const written = (handle: string, identity?: string) =>
  until('it has written a number', async () => Number((await status(handle, {}, identity)).stdout.split('\n')[0]), 30_000);

beforeAll(async () => {
  fleet = await Fleet.start();
  node = await fleet.node('shell.test', { config: on });
  await fleet.node('plain.test');
  client = await fleet.client();
});

afterAll(async () => {
  for (const { status: at, id } of Object.values((await jobs()).jobs))
    if (at === 'running') await ask('kill', { handle: id, signal: 'KILL' });
  await fleet?.stop();
  remove();
});

test('is off unless it is switched on, and says so by not being there', async () => {
  const reply = await client.ask('plain.test', 'shell', 'run', { command: 'true' });
  expect(reply).toMatchObject({ statuscode: 2, statusmsg: expect.stringContaining('Unknown agent shell') });
  expect(await client.find({ agents: ['shell'] })).toEqual(['shell.test']);
  const { agents } = (await client.ask('plain.test', 'rpcutil', 'inventory')).data as { agents: readonly string[] };
  expect(agents).toContain('service');
  expect(agents).not.toContain('shell');
});

test('is denied where no policy allows it', async () => {
  const policies = { default: ['policy default deny'] };
  await fleet.node('strict.test', { config: on, policies });
  expect(await ask('run', { command: 'true' }, 'strict.test')).toMatchObject({
    statuscode: 1,
    statusmsg: 'You are not authorized to call this agent or action',
  });
});

describe('run', () => {
  test('tells what a command wrote and exited with', async () => {
    expect(await run('echo out; echo err >&2')).toEqual({ stdout: 'out\n', stderr: 'err\n', exitcode: 0, success: true });
    expect(await run('exit 7')).toEqual({ stdout: '', stderr: '', exitcode: 7, success: false });
    expect(await run('kill -USR1 $$')).toMatchObject({ exitcode: 138, success: false });
    expect(await run('PATH=/usr/bin:/bin; no-such-program')).toMatchObject({
      exitcode: 127,
      stderr: expect.stringContaining('not found'),
    });
  });

  test('gives a command the machine’s shell, an empty input, and little of an environment', async () => {
    expect((await run('a=$((6 * 7)); echo "$a" | tr 4 x; pwd')).stdout).toBe('x2\n/\n');
    expect(await run('cat')).toMatchObject({ stdout: '', exitcode: 0 });
    const names = String((await run('env')).stdout)
      .split('\n')
      .map((line) => line.split('=')[0]);
    expect(names).toEqual(expect.arrayContaining(['PATH', 'HOME', 'USER']));
    expect(names.filter((name) => name?.startsWith('MUSTER') || name?.startsWith('PYTHON'))).toEqual([]);
    expect((await run('-x echo hello')).stderr).toMatch(/: -x: /);
  });

  test('stops a command that takes too long, with all that it started, and tells what it wrote until then', async () => {
    const reply = await run('echo first; sh -c "echo $$; sleep 300" & echo $!; wait', { timeout: 3 });
    expect(reply).toMatchObject({ success: false, exitcode: 143 });
    const [first, child] = String(reply.stdout).split('\n');
    expect(first).toBe('first');
    expect(Number(child)).toBeGreaterThan(1);
    await until('its child is gone', () => !isAlive(Number(child)));
  });

  test('stops one that is deaf to TERM', async () => {
    expect(await run('trap "" TERM; while :; do sleep 0.05; done', { timeout: 3 })).toMatchObject({
      success: false,
      exitcode: 137,
    });
  });

  test('hands on text in any language, and marks bytes that are none', async () => {
    expect((await run('printf "ßäöü 東京 🐹"')).stdout).toBe('ßäöü 東京 🐹');
    expect((await run(`printf 'a\\377b\\000c'`)).stdout).toBe('a\ufffdb\u0000c');
  });

  test('of a long output tells the end, also of one that grows when it is written as JSON', async () => {
    const { stdout } = await run('seq 200000');
    expect(stdout).toMatch(/^\[\d+ bytes left out\]\n/);
    expect(stdout).toMatch(/199999\n200000\n$/);
    const zeros = await ask('run', { command: 'head -c 1000000 /dev/zero; echo end' });
    expect([zeros.statuscode, String((zeros.data as { stdout: string }).stdout).endsWith('end\n')]).toEqual([0, true]);
  });

  test('leaves no job behind', async () => {
    await run('true');
    expect(Object.values((await jobs()).jobs).filter(({ command }) => command === 'true')).toEqual([]);
  });

  test.runIf(userInfo().uid === 0)('runs a command as another user, with the groups of that user', async () => {
    expect((await run('id -un; id -Gn; echo $HOME', { user: 'nobody' })).stdout).toBe('nobody\nnogroup\n/nonexistent\n');
    expect(await ask('run', { command: 'true', user: 'no-such-user' })).toMatchObject({
      statuscode: 1,
      statusmsg: 'there is no user no-such-user on this machine',
    });
  });
});

describe('a job', () => {
  test('goes on by itself; its output streams, each part once', async () => {
    const gate = join(folder, 'gate');
    const handle = await start(
      `echo one; while [ ! -e ${gate} ]; do sleep 0.02; done; printf 'zw\\303'; sleep 0.3; printf '\\266lf'; echo err >&2`,
    );
    let [text, errors, offset, errorOffset] = ['', '', 0, 0];
    const read = async () => {
      const now = await status(handle, { stdout_offset: offset, stderr_offset: errorOffset });
      text += now.stdout;
      errors += now.stderr;
      [offset, errorOffset] = [now.stdout_offset, now.stderr_offset];
      return now;
    };
    await until('the first line is there', async () => (await read()) && text !== '');
    expect(text).toBe('one\n');
    expect((await read()).status).toBe('running');
    await run(`touch ${gate}`);
    await until('it has stopped and nothing more comes', async () => {
      const now = await read();
      return now.status === 'stopped' && now.stdout === '' && now.stderr === '';
    });
    expect([text, errors, offset]).toEqual(['one\nzwölf', 'err\n', 10]);
    expect(await status(handle)).toMatchObject({ status: 'stopped', exitcode: 0, stdout: 'one\nzwölf' });
  });

  test('is listed with its command, its state and what ended it', async () => {
    const [going, killed, done] = [await start('exec sleep 300'), await start('exec sleep 301'), await start('exit 3')];
    expect(await ask('kill', { handle: killed })).toMatchObject({ statuscode: 0 });
    expect((await ended(killed)).exitcode).toBe(143);
    expect((await ended(done)).exitcode).toBe(3);
    expect((await jobs()).jobs).toMatchObject({
      [going]: { id: going, command: 'exec sleep 300', status: 'running', signal: null },
      [killed]: { id: killed, command: 'exec sleep 301', status: 'stopped', signal: 15 },
      [done]: { id: done, command: 'exit 3', status: 'stopped', signal: 0 },
    });
    const told = await ask('statuses', { handles: [going, done, 'nonsense'] });
    expect(told.data).toMatchObject({
      statuses: {
        [going]: { status: 'running', stdout: '' },
        [done]: { status: 'stopped', exitcode: 3 },
        nonsense: { status: 'error', error: '"nonsense" is not the handle of a job' },
      },
    });
    await ask('kill', { handle: going });
    expect(await ask('kill', { handle: done })).toMatchObject({
      statuscode: 1,
      statusmsg: `the job ${done} does not run any more`,
    });
  });

  test('is signalled with all that it started, by the signal that is asked for', async () => {
    const handle = await start('trap "echo caught; exit 5" USR1; sleep 300 & echo $!; while :; do wait; done');
    const child = await written(handle);
    await ask('kill', { handle, signal: 'USR1' });
    expect(await ended(handle)).toMatchObject({ exitcode: 5, stdout: expect.stringContaining('caught') });
    await until('its child is gone', () => !isAlive(child));
  });

  test('outlives the agent, and the next agent process knows it', async () => {
    const handle = await start('echo $$; exec sleep 300');
    const pid = await written(handle);
    const agent = Number(node.host.list('agent').find(({ name }) => name === 'shell')?.pid);
    process.kill(-agent, 'SIGKILL');
    await until('the agent is gone', () => !isAlive(agent));
    expect(isAlive(pid)).toBe(true);
    expect(await status(handle)).toMatchObject({ status: 'running' });
    await ask('kill', { handle });
    expect((await ended(handle)).exitcode).toBe(143);
  });

  test('outlives the node', async () => {
    const other = await fleet.node('leaving.test', { config: on });
    const handle = await start('echo $$; exec sleep 300', 'leaving.test');
    const pid = await written(handle, 'leaving.test');
    await other.stop();
    expect(isAlive(pid)).toBe(true);
    process.kill(pid, 'SIGKILL');
  });

  test('whose supervisor was killed has failed, and does not run for ever', async () => {
    const handle = await start('echo $$; exec sleep 300');
    const pid = await written(handle);
    const file = join(node.folder, 'plugins/agent.shell/state/jobs', handle, 'pid.json');
    const { supervisor } = JSON.parse(readFileSync(file, 'utf8')) as { supervisor: { pid: number } };
    process.kill(supervisor.pid, 'SIGKILL');
    await until('it is seen', async () => (await status(handle)).status === 'failed');
    process.kill(pid, 'SIGKILL');
  });

  test('writes no more than is kept, goes on all the same, and is forgotten in time', async () => {
    const limits = { 'plugin.shell.max_output': 1_000, 'plugin.shell.max_jobs': 2, 'plugin.shell.retention': '6s' };
    const tight = await fleet.node('tight.test', { config: { ...on, ...limits } });
    const handle = await start('seq 100000; echo done >&2', 'tight.test');
    const now = await ended(handle, 'tight.test');
    expect([now.stdout.length, now.stdout_offset, now.stderr]).toEqual([1_000, 1_000, 'done\n']);
    const folders = join(tight.folder, 'plugins/agent.shell/state/jobs');
    expect(readdirSync(folders)).toEqual([handle]);
    await until('it is forgotten', async () => Object.keys((await jobs('tight.test')).jobs).length === 0, 30_000);
    expect(readdirSync(folders)).toEqual([]);
    const two = [await start('exec sleep 300', 'tight.test'), await start('exec sleep 300', 'tight.test')];
    expect(await ask('start', { command: 'true' }, 'tight.test')).toMatchObject({
      statuscode: 1,
      statusmsg: '2 jobs run already, which is what plugin.shell.max_jobs allows; try again later',
    });
    for (const one of two) await ask('kill', { handle: one }, 'tight.test');
  });

  test('is nobody else’s to read: its folder and files are the node’s alone', async () => {
    const handle = await start('umask; ls -ld . >&2; exec sleep 1');
    await ended(handle);
    const { stdout } = await run(`cd ${join(node.folder, 'plugins/agent.shell/state/jobs', handle)} && stat -c %a . *`);
    expect(new Set(String(stdout).trim().split('\n'))).toEqual(new Set(['700', '600']));
  });
});

describe('a hostile text', () => {
  const proof = join(folder, 'proof');
  const direct = (action: string, data: Record<string, unknown>) =>
    node.host.call('agent', 'shell', 'agent/invoke', { agent: 'shell', action, data: { ...data } }) as Promise<{
      statuscode: number;
    }>;

  test.each(['status', 'kill'])('as a handle of %s is refused', async (action) => {
    for (const [what, text] of Object.entries(hostileTexts(proof))) {
      expect([what, (await direct(action, { handle: text })).statuscode]).toEqual([what, 4]);
      expect([what, (await ask(action, { handle: text })).statuscode]).toEqual([what, 4]);
    }
  });

  test.each(['run', 'start'])('as a user of %s is refused', async (action) => {
    for (const [what, text] of Object.entries(hostileTexts(proof))) {
      const data = { command: 'true', user: text };
      const refused = (await direct(action, data)).statuscode;
      // A command line may well have a path in it, a name may not.
      expect([what, refused]).toEqual([what, 4]);
      expect([what, (await ask(action, data)).statuscode]).toEqual([what, 4]);
    }
    expect(wasTakenForACommand(proof)).toBe(false);
  });

  test('as a command is what the shell makes of it, and neither an option of the shell nor an end of the agent', async () => {
    for (const text of ['x\0y', '', 'x'.repeat(100_000)]) expect((await direct('run', { command: text })).statuscode).toBe(4);
    for (const text of ['--help', '-c', "'", '"\\', 'x\u202ey', 'x\ud800y'])
      expect(await ask('run', { command: text })).toMatchObject({ statuscode: 0, data: { success: false } });
    expect(await ask('list')).toMatchObject({ statuscode: 0 });
  });

  test('in place of numbers and lists is refused', async () => {
    const handle = await start('true');
    for (const offset of [-1, Number.MIN_SAFE_INTEGER])
      expect((await ask('status', { handle, stdout_offset: offset })).statuscode).toBe(4);
    expect(await ask('status', { handle, stdout_offset: Number.MAX_SAFE_INTEGER })).toMatchObject({
      statuscode: 0,
      data: { stdout: '' },
    });
    expect((await ask('run', { command: 'true', timeout: -1 })).statuscode).toBe(4);
    for (const handles of [['x'.repeat(37)], Array.from({ length: 101 }, () => handle), [7], [null]])
      expect((await ask('statuses', { handles })).statuscode).toBe(4);
    expect((await ask('statuses', { handles: ['__proto__'] })).statuscode).toBe(0);
  });
});
