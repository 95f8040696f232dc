// The agent `package` on the real dnf and rpm, in a root of their own.

import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder } from '../support/folders.ts';
import { hostileTexts, wasTakenForACommand } from '../support/hostile.ts';
import type { TestHost } from '../support/hosts.ts';
import { RpmRoot } from '../support/rpm.ts';

const { path: folder, remove } = temporaryFolder();
const machinesOwn = process.env.PATH;
let rpm: RpmRoot;
let fleet: Fleet;
let node: TestHost;
let client: TestClient;

const ask = (action: string, data: Record<string, unknown> = {}) =>
  client.ask('rpm.test', 'package', action, data, { timeoutMs: 60_000 });

beforeAll(async () => {
  rpm = new RpmRoot(folder);
  process.env.PATH = `${rpm.programs}:${machinesOwn}`;
  rpm.publish('greeter', '1.0');
  rpm.publish('epochal', '2.0', { epoch: 3 });
  rpm.publish('fragile', '1.0', { setUp: 'error("it can not be set up")' });
  fleet = await Fleet.start();
  node = await fleet.node('rpm.test', { config: { 'plugin.package.provider': 'dnf', 'plugin.package.lock_wait': '2s' } });
  client = await fleet.client();
}, 300_000);

afterAll(async () => {
  await fleet?.stop();
  process.env.PATH = machinesOwn;
  remove();
});

test('a package is installed, told with every part of its version, and removed', async () => {
  expect((await ask('status', { package: 'greeter' })).data).toMatchObject({ ensure: 'purged', provider: 'dnf' });
  const installed = { name: 'greeter', ensure: '1.0-1', epoch: '0', version: '1.0', release: '1', arch: 'noarch' };
  expect(await ask('install', { package: 'greeter' })).toMatchObject({
    statuscode: 0,
    data: { ...installed, provider: 'dnf', output: expect.stringContaining('Complete!') },
  });
  expect((await ask('status', { package: 'greeter' })).data).toMatchObject(installed);
  expect(await ask('install', { package: 'greeter' })).toMatchObject({
    statuscode: 1,
    statusmsg: 'greeter is already installed',
  });
  expect(await ask('install', { package: 'epochal' })).toMatchObject({
    statuscode: 0,
    data: { ensure: '3:2.0-1', epoch: '3' },
  });
  expect(await ask('uninstall', { package: 'epochal' })).toMatchObject({ statuscode: 0, data: { ensure: 'purged' } });
  expect(await ask('purge', { package: 'epochal' })).toMatchObject({
    statuscode: 1,
    statusmsg: 'epochal is not installed',
  });
});

test('is brought to its newest version, and back to one that is asked for', async () => {
  rpm.publish('greeter', '1.1');
  const outdated = [{ package: 'greeter.noarch', version: '1.1-1', repo: 'local' }];
  for (const action of ['checkupdates', 'yum_checkupdates'])
    expect(await ask(action)).toMatchObject({ statuscode: 0, data: { exitcode: 100, outdated_packages: outdated } });
  expect((await ask('checkupdates')).data).toMatchObject({ package_manager: 'yum' });
  expect(await ask('update', { package: 'greeter' })).toMatchObject({ statuscode: 0, data: { ensure: '1.1-1' } });
  expect((await ask('checkupdates')).data).toMatchObject({ exitcode: 0, outdated_packages: [] });
  expect(await ask('install', { package: 'greeter', version: '1.0-1' })).toMatchObject({
    statuscode: 0,
    data: { ensure: '1.0-1' },
  });
  expect(await ask('install', { package: 'greeter', version: '9' })).toMatchObject({
    statuscode: 1,
    data: { ensure: '1.0-1', output: expect.stringContaining('greeter-9') },
  });
});

test('a package that cannot be set up, or that nobody has, fails with what was said', async () => {
  expect(await ask('install', { package: 'fragile' })).toMatchObject({
    statuscode: 1,
    data: { ensure: 'purged', output: expect.stringContaining('it can not be set up') },
  });
  expect(await ask('install', { package: 'nobody' })).toMatchObject({
    statuscode: 1,
    statusmsg: expect.stringContaining('Unable to find a match: nobody'),
  });
});

test('packages are counted, and equal lists have equal digests', async () => {
  const told = async (action: string) => ((await ask(action)).data as { output: string }).output;
  expect(await told('count')).toBe('1');
  const digest = await told('md5');
  await ask('install', { package: 'epochal' });
  expect(await told('count')).toBe('2');
  expect(await told('md5')).not.toBe(digest);
  await ask('uninstall', { package: 'epochal' });
  expect(await told('md5')).toBe(digest);
});

test('the cache is emptied; a mode that dnf does not know fails, apt_update names what the machine has', async () => {
  for (const data of [{}, { mode: 'metadata' }, { mode: 'expire-cache' }])
    expect(await ask('yum_clean', data)).toMatchObject({ statuscode: 0, data: { exitcode: 0 } });
  expect(await ask('yum_clean', { mode: 'headers' })).toMatchObject({
    statuscode: 1,
    statusmsg: expect.stringContaining("invalid choice: 'headers'"),
  });
  expect(await ask('apt_update')).toMatchObject({ statusmsg: 'apt is not what this machine uses, it has dnf' });
});

test('hostile texts are refused by the node or by the agent itself', async () => {
  const proof = join(folder, 'proof');
  const more = { '@group': '@core', 'a file': '/etc/passwd', 'an address': 'http://127.0.0.1/x.rpm', 'a pattern': '*' };
  for (const [what, text] of Object.entries({ ...hostileTexts(proof), ...more }))
    for (const action of ['install', 'update', 'uninstall', 'purge', 'status']) {
      const invocation = { agent: 'package', action, data: { package: text } };
      const reply = (await node.host.call('agent', 'package', 'agent/invoke', invocation)) as { statuscode: number };
      expect([what, action, reply.statuscode]).toEqual([what, action, 4]);
    }
  expect(wasTakenForACommand(proof)).toBe(false);
});
