// The agent `package` on the real apt-get and dpkg, in a root of their own.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { DebianRoot } from '../support/debian.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { hostileTexts, wasTakenForACommand } from '../support/hostile.ts';
import type { TestHost } from '../support/hosts.ts';

const { path: folder, remove } = temporaryFolder();
const debian = new DebianRoot(folder);
let fleet: Fleet;
let node: TestHost;
let client: TestClient;

const ask = (action: string, data: Record<string, unknown> = {}) =>
  client.ask('packages.test', 'package', action, data, { timeoutMs: 60_000 });

beforeAll(async () => {
  Object.assign(process.env, debian.environment);
  debian.publish({ name: 'greeter', version: '1:1.0-2', configuration: 'greeting = hello\n' });
  debian.publish({ name: 'greeter-data', version: '3.1' });
  debian.publish({ name: 'eager', version: '1.0', depends: 'greeter-data' });
  debian.publish({ name: 'fragile', version: '1.0', setUp: 'echo it can not be set up >&2; exit 3' });
  debian.publish({ name: 'asking', version: '1.0', setUp: 'read answer || answer=none; echo "$answer" > "$DPKG_ROOT/answer"' });
  debian.publish({
    name: 'slow',
    version: '1.0',
    setUp: 'touch "$DPKG_ROOT/begun"; while [ ! -e "$DPKG_ROOT/go-on" ]; do sleep 0.05; done',
  });
  fleet = await Fleet.start();
  node = await fleet.node('packages.test', { config: { 'plugin.package.lock_wait': '8s' } });
  client = await fleet.client();
});

afterAll(async () => {
  debian.write('go-on', '');
  await fleet?.stop();
  for (const name of Object.keys(debian.environment)) delete process.env[name];
  remove();
});

describe('a package', () => {
  test('that nobody installed is purged; apt does not know it before its lists are there', async () => {
    expect(await ask('status', { package: 'greeter' })).toMatchObject({
      statuscode: 0,
      data: { name: 'greeter', ensure: 'purged', provider: 'apt' },
    });
    expect(await ask('install', { package: 'greeter' })).toMatchObject({
      statuscode: 1,
      statusmsg: 'apt knows no package greeter; apt_update may be due',
    });
    expect(await ask('apt_update')).toMatchObject({ statuscode: 0, data: { exitcode: 0 } });
  });

  test('is installed with what it depends on, and told with every part of its version', async () => {
    expect(await ask('install', { package: 'eager' })).toMatchObject({
      statuscode: 0,
      data: { name: 'eager', ensure: '1.0', output: expect.stringContaining('Setting up eager (1.0)') },
    });
    expect((await ask('status', { package: 'greeter-data' })).data).toMatchObject({ ensure: '3.1' });
    expect(await ask('install', { package: 'greeter' })).toMatchObject({
      statuscode: 0,
      data: {
        name: 'greeter',
        ensure: '1:1.0-2',
        epoch: '1',
        version: '1.0',
        release: '2',
        arch: 'all',
        provider: 'apt',
      },
    });
    expect(await ask('install', { package: 'greeter' })).toMatchObject({
      statuscode: 1,
      statusmsg: 'greeter is already installed',
      data: { ensure: '1:1.0-2' },
    });
  });

  test('is brought to its newest version; what the administrator wrote into its configuration stays', async () => {
    debian.write('etc/greeter.conf', 'greeting = moin\n');
    debian.publish({ name: 'greeter', version: '1:1.1-1', configuration: 'greeting = hi\n' });
    debian.publish({ name: 'newcomer', version: '1.0' });
    await ask('apt_update');
    const outdated = [{ package: 'greeter', version: '1:1.1-1', repo: 'localhost [all]' }];
    expect(await ask('checkupdates')).toMatchObject({
      statuscode: 0,
      data: { package_manager: 'apt', exitcode: 0, outdated_packages: outdated, output: expect.stringContaining('Inst greeter') },
    });
    expect((await ask('apt_checkupdates')).data).toMatchObject({ outdated_packages: outdated });
    expect(await ask('update', { package: 'greeter' })).toMatchObject({ statuscode: 0, data: { ensure: '1:1.1-1' } });
    expect(debian.read('etc/greeter.conf')).toBe('greeting = moin\n');
    expect((await ask('checkupdates')).data).toMatchObject({ outdated_packages: [] });
    expect(await ask('update', { package: 'newcomer' })).toMatchObject({
      statuscode: 1,
      statusmsg: 'newcomer is not installed',
      data: { ensure: 'purged' },
    });
  });

  test('goes back to a version that is asked for', async () => {
    expect(await ask('install', { package: 'greeter', version: '1:1.0-2' })).toMatchObject({
      statuscode: 0,
      data: { ensure: '1:1.0-2' },
    });
    expect(await ask('install', { package: 'greeter', version: '9' })).toMatchObject({
      statuscode: 1,
      statusmsg: expect.stringContaining("Version '9' for 'greeter' was not found"),
      data: { ensure: '1:1.0-2', exitcode: 100 },
    });
  });

  test('is removed and keeps its configuration until it is purged', async () => {
    expect(await ask('uninstall', { package: 'greeter' })).toMatchObject({ statuscode: 0, data: { ensure: 'absent' } });
    expect(debian.has('etc/greeter.conf')).toBe(true);
    expect(await ask('uninstall', { package: 'greeter' })).toMatchObject({
      statuscode: 1,
      statusmsg: 'greeter is not installed',
    });
    expect(await ask('purge', { package: 'greeter' })).toMatchObject({ statuscode: 0, data: { ensure: 'purged' } });
    expect(debian.has('etc/greeter.conf')).toBe(false);
    expect(await ask('purge', { package: 'greeter' })).toMatchObject({ statuscode: 1, data: { ensure: 'purged' } });
  });

  test('that asks something is not answered, and does not wait', async () => {
    expect(await ask('install', { package: 'asking' })).toMatchObject({ statuscode: 0 });
    expect(debian.read('answer')).toBe('none\n');
  });

  test('that cannot be set up fails with what it said', async () => {
    expect(await ask('install', { package: 'fragile' })).toMatchObject({
      statuscode: 1,
      statusmsg: expect.stringContaining('failed with exit code 100'),
      data: { ensure: 'absent', exitcode: 100, output: expect.stringContaining('it can not be set up') },
    });
    expect(await ask('purge', { package: 'fragile' })).toMatchObject({ statuscode: 0, data: { ensure: 'purged' } });
  });

  test('whose name ends in a minus is nobody, and no wish to remove', async () => {
    expect(await ask('install', { package: 'greeter-data-' })).toMatchObject({
      statuscode: 1,
      statusmsg: expect.stringContaining('apt knows no package greeter-data-'),
    });
    expect(await ask('install', { package: 'greeter.data' })).toMatchObject({ statuscode: 1 });
    expect((await ask('status', { package: 'greeter-data' })).data).toMatchObject({ ensure: '3.1' });
  });
});

describe('the list of packages', () => {
  test('is counted, and equal lists have equal digests', async () => {
    const count = async () => Number(((await ask('count')).data as { output: string }).output);
    const digest = async () => ((await ask('md5')).data as { output: string }).output;
    const [before, digestBefore] = [await count(), await digest()];
    expect(digestBefore).toMatch(/^[0-9a-f]{32}$/);
    expect(await digest()).toBe(digestBefore);
    await ask('install', { package: 'newcomer' });
    expect(await count()).toBe(before + 1);
    expect(await digest()).not.toBe(digestBefore);
    await ask('purge', { package: 'newcomer' });
    expect(await digest()).toBe(digestBefore);
  });
});

describe('changes', () => {
  test('come one at a time; a second one waits its time and says what it waited for', async () => {
    const first = ask('install', { package: 'slow' });
    await until('the first has begun', () => debian.has('begun'), 30_000);
    expect(await ask('install', { package: 'newcomer' })).toMatchObject({
      statuscode: 1,
      statusmsg: expect.stringMatching(/^another change still runs: apt-get install .* slow; try again later$/),
    });
    expect(await ask('status', { package: 'newcomer' })).toMatchObject({ statuscode: 0, data: { ensure: 'purged' } });
    const third = ask('install', { package: 'newcomer' });
    debian.write('go-on', '');
    expect(await first).toMatchObject({ statuscode: 0, data: { ensure: '1.0' } });
    expect(await third).toMatchObject({ statuscode: 0, data: { ensure: '1.0' } });
  });

  test('wait for another program that changes packages, but not for ever', async () => {
    const holder = holdLock(join(debian.root, 'var/lib/dpkg/lock-frontend'));
    await once(holder.stdout ?? holder, 'data');
    expect(await ask('purge', { package: 'newcomer' })).toMatchObject({
      statuscode: 1,
      statusmsg: expect.stringMatching(/^another program changes packages, waited for 8 s: /),
      data: {},
    });
    const waiting = ask('purge', { package: 'newcomer' });
    holder.kill();
    expect(await waiting).toMatchObject({ statuscode: 0, data: { ensure: 'purged' } });
  });

  test('that have begun are brought to their end, even if the agent is not there any more', async () => {
    await ask('purge', { package: 'slow' });
    debian.remove('go-on');
    debian.remove('begun');
    const given = ask('install', { package: 'slow' });
    await until('it has begun', () => debian.has('begun'), 30_000);
    const { pid } = node.host.list('agent').find(({ name }) => name === 'package') ?? {};
    process.kill(-Number(pid), 'SIGKILL');
    expect(await given).toMatchObject({ statuscode: 1 });
    debian.write('go-on', '');
    const isInstalled = async () => ((await ask('status', { package: 'slow' })).data as { ensure: string }).ensure === '1.0';
    await until('it is installed', isInstalled, 30_000);
  });
});

test('actions of yum name the package manager that the machine has', async () => {
  for (const action of ['yum_checkupdates', 'yum_clean'])
    expect(await ask(action)).toMatchObject({ statuscode: 1, statusmsg: 'yum is not what this machine uses, it has apt' });
});

test('a package manager that is not supported is named', () => {
  // Only what is found on the machine is made up; the rest is the agent.
  const program = `import sys
sys.path[:0] = sys.argv[1:]
import commands, muster_plugin
commands.is_there = lambda program: program == "zypper"
muster_plugin.Agent.run = lambda agent: None
import package
try:
    package.status({"package": "x"}, None)
except muster_plugin.ActionError as error:
    print(error)`;
  const paths = ['agents/package', 'core/sdk/python'].map((path) => join(distributionRoot(), path));
  const told = execFileSync('python3', ['-B', '-c', program, ...paths], { encoding: 'utf8' });
  expect(told).toBe('this machine has zypper, which is not supported; apt, dnf and yum are\n');
});

describe('a hostile text as', () => {
  const proof = join(folder, 'proof');
  const inputs = [
    ...['install', 'update', 'uninstall', 'purge', 'status'].map((action) => [action, 'package', {}] as const),
    ['install', 'version', { package: 'greeter' }] as const,
  ];
  test.each(inputs)('%s %s is refused by the node or by the agent itself', async (action, input, more) => {
    for (const [what, text] of Object.entries(hostileTexts(proof))) {
      const data = { ...more, [input]: text };
      const byNode = await ask(action, data);
      expect([what, byNode.statuscode]).toEqual([what, 4]);
      // What the DDL lets through must not depend on the node alone.
      const invocation = { agent: 'package', action, data };
      const byAgent = (await node.host.call('agent', 'package', 'agent/invoke', invocation)) as { statuscode: number };
      expect([what, byAgent.statuscode]).toEqual([what, 4]);
    }
    expect(wasTakenForACommand(proof)).toBe(false);
  });
});

/** Locks a file as dpkg does, and says so. */
function holdLock(path: string): ChildProcess {
  const program = `import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(120)`;
  return spawn('python3', ['-c', program, path], { stdio: ['ignore', 'pipe', 'inherit'] });
}
