// The agent `process` on the processes of this machine, among them some of the test's own.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { aggregate } from '../../plugins/fleet-client/aggregate.ts';
import { readDdl } from '../../plugins/wire/ddl.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { hostileTexts, wasTakenForACommand } from '../support/hostile.ts';
import type { TestHost } from '../support/hosts.ts';

interface Process {
  readonly pid: number;
  readonly ppid: number;
  readonly username: string;
  readonly state: string;
  readonly comm: string;
  readonly cmdline: string;
  readonly rss: number;
  readonly vsize: number;
}

const { path: folder, remove } = temporaryFolder();
/** Found in no other command line. */
const mark = `mark${process.pid}x`;
const children: ChildProcess[] = [];
let fleet: Fleet;
let node: TestHost;
let client: TestClient;

const ask = (data: Record<string, unknown>) => client.ask('process.test', 'process', 'list', data, { timeoutMs: 30_000 });
async function list(data: Record<string, unknown>): Promise<readonly Process[]> {
  const reply = await ask(data);
  expect([reply.statuscode, reply.statusmsg]).toEqual([0, 'OK']);
  return (reply.data as { pslist: readonly Process[] }).pslist;
}

function start(program: string, args: readonly string[], options: { argv0?: string } = {}): ChildProcess {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], ...options });
  children.push(child);
  return child;
}

beforeAll(async () => {
  if (!existsSync(join(distributionRoot(), 'agents/process/process')))
    throw new Error('needs go: install Go 1.21 or later (https://go.dev/dl), then npm run build');
  fleet = await Fleet.start();
  node = await fleet.node('process.test');
  client = await fleet.client();
});

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await fleet?.stop();
  remove();
});

describe('the list of processes', () => {
  test('has what the kernel tells of a process', async () => {
    const child = start('sleep', ['600'], { argv0: `${mark}-alpha (with) parentheses` });
    const [found, ...others] = await until('it runs', async () => {
      const all = await list({ pattern: `${mark}-alpha` });
      return all[0]?.state === 'S' ? all : undefined;
    });
    expect(others).toEqual([]);
    expect(found).toMatchObject({
      pid: child.pid,
      ppid: process.pid,
      username: userInfo().username,
      state: 'S',
      comm: 'sleep',
      cmdline: `${mark}-alpha (with) parentheses 600`,
    });
    expect(found?.vsize).toBeGreaterThan((found?.rss ?? 0) * 1024);
    expect(found?.rss).toBeGreaterThan(0);
  });

  test('is whole without a pattern, in the order of ids, each once', async () => {
    const pids = (await list({})).map(({ pid }) => pid);
    expect(pids).toContain(process.pid);
    expect(pids).toContain(1);
    expect(pids).toEqual([...new Set(pids)].sort((a, b) => a - b));
  });

  test('takes a regular expression, and no time for an evil one', async () => {
    start('sleep', ['600'], { argv0: `${mark}-beta` });
    start('sleep', ['600'], { argv0: `${mark}-${'a'.repeat(60)}!` });
    const fits = async (pattern: string) => (await list({ pattern })).map(({ cmdline }) => cmdline.split(' ')[0]);
    await until('both run', async () => (await fits(`${mark}-`)).length >= 2);
    expect(await fits(`^${mark}-(beta)`)).toEqual([`${mark}-beta`]);
    expect(await fits(`${mark}-b[a-f]t`)).toEqual([`${mark}-beta`]);
    expect(await fits(`${mark}-(a+)+b`)).toEqual([]);
    expect(await ask({ pattern: '(' })).toMatchObject({
      statuscode: 4,
      statusmsg: expect.stringContaining('"(" is no regular expression'),
    });
  });

  test('of a user has nothing of others; nobody knows a user who is not there', async () => {
    const own = userInfo().username;
    const mine = await list({ user: own });
    expect(mine.map(({ pid }) => pid)).toContain(process.pid);
    expect(new Set(mine.map(({ username }) => username))).toEqual(new Set([own]));
    expect(await list({ user: 'no-such-user' })).toEqual([]);
    expect(await list({ user: '' })).toEqual([]);
    expect(await list({ user: own, pattern: `${mark}-nothing` })).toEqual([]);
  });

  test('of zombies has those that nobody waited for', async () => {
    const program = 'import os, time\nif os.fork() == 0: os._exit(0)\nprint("born", flush=True)\ntime.sleep(600)';
    const parent = start('python3', ['-c', program]);
    await once(parent.stdout ?? parent, 'data');
    const zombies = await until('it is dead', async () => {
      const found = (await list({ just_zombies: true })).filter(({ ppid }) => ppid === parent.pid);
      return found.length > 0 ? found : undefined;
    });
    expect(zombies).toEqual([expect.objectContaining({ state: 'Z', comm: 'python3', cmdline: 'python3' })]);
    expect((await list({ just_zombies: true })).every(({ state }) => state === 'Z')).toBe(true);
  });

  test('shows no more than the beginning of a long command line', async () => {
    start('sleep', ['600'], { argv0: `${mark}-long ${'y'.repeat(50_000)}` });
    const [long] = await until('it runs', async () => {
      const found = await list({ pattern: `${mark}-long` });
      return found.length > 0 ? found : undefined;
    });
    expect(long?.cmdline).toMatch(/^mark\d+x-long y+…$/);
    expect(long?.cmdline.length).toBeLessThan(2_100);
  });

  test('shows bytes that are no text as such', async () => {
    start('python3', ['-c', `import os; os.execvp("sleep", [b"${mark}-bytes\\xff", b"600"])`]);
    const [found] = await until('it runs', async () => {
      const all = await list({ pattern: `^${mark}-bytes` });
      return all.length > 0 ? all : undefined;
    });
    expect(found?.cmdline).toBe(`${mark}-bytes\ufffd 600`);
  });
});

test('lists are summed up as their DDL asks for', async () => {
  const file = join(distributionRoot(), 'agents/process/ddl.json');
  const [action] = readDdl(JSON.parse(readFileSync(file, 'utf8')), file).actions;
  if (!action) throw new Error('the DDL has no action');
  start('sleep', ['600'], { argv0: `${mark}-summed` });
  const asked = {
    agent: 'process',
    action: 'list',
    data: { pattern: `${mark}-summed` },
    targets: ['process.test'],
    timeoutMs: 10_000,
  };
  const { replies } = await until('it runs', async () => {
    const result = await client.call(asked);
    const found = (result.replies[0]?.data as { pslist?: readonly Process[] } | undefined)?.pslist ?? [];
    return (found[0]?.rss ?? 0) > 0 ? result : undefined;
  });
  const [only] = (replies[0]?.data as { pslist?: readonly Process[] } | undefined)?.pslist ?? [];
  const nothing = { data: { pslist: [] } };
  const big = {
    data: {
      pslist: [
        { rss: 3 * 1024 * 1024, vsize: 2 ** 40 },
        { rss: 0, vsize: 2 ** 40 },
      ],
    },
  };
  expect(aggregate(action, [...replies, nothing])[0]?.result).toEqual({
    hosts: 1,
    processes: 1,
    rss: (only?.rss ?? 0) * 1024,
    vsize: only?.vsize,
  });
  expect(aggregate(action, [big, nothing])[0]?.lines).toEqual([
    '    Matched hosts: 1',
    'Matched processes: 2',
    '  Resident memory: 3.0 GiB',
    '   Virtual memory: 2.0 TiB',
  ]);
});

test('a list that is too long for a reply says so, with what has room', async () => {
  for (let number = 0; number < 300; number += 1) start('sleep', ['600'], { argv0: `${mark}-many ${'z'.repeat(2_500)}` });
  const reply = await until('there are too many', async () => {
    const answer = await ask({ pattern: `${mark}-many` });
    return answer.statuscode === 1 ? answer : undefined;
  });
  const { pslist } = reply.data as { pslist: readonly Process[] };
  expect(pslist.length).toBeGreaterThan(100);
  expect(pslist.length).toBeLessThan(300);
  expect(reply.statusmsg).toMatch(
    new RegExp(`^\\d+ processes fit and a reply has room for ${pslist.length} of them; ask with a pattern or a user$`),
  );
});

test.each(['pattern', 'user'])('a hostile text as %s is a text and nothing else', async (input) => {
  const proof = join(folder, 'proof');
  for (const [what, text] of Object.entries(hostileTexts(proof))) {
    if (text === '') continue;
    const invocation = { agent: 'process', action: 'list', data: { [input]: text } };
    const byAgent = await node.host.call('agent', 'process', 'agent/invoke', invocation);
    const byNode = await ask({ [input]: text });
    for (const reply of [byAgent as typeof byNode, byNode]) {
      // As a pattern with an alternative, a text may fit what happens to run here.
      const pslist = input === 'pattern' && text.includes('|') ? expect.any(Array) : [];
      if (reply.statuscode !== 4) expect([what, reply]).toMatchObject([what, { statuscode: 0, data: { pslist } }]);
    }
  }
  expect(wasTakenForACommand(proof)).toBe(false);
});
