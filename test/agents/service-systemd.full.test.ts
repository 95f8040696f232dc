// The agent `service` on a real systemd, in namespaces of its own.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder } from '../support/folders.ts';
import { hostileTexts, wasTakenForACommand } from '../support/hostile.ts';
import { Systemd } from '../support/systemd.ts';

const { path: folder, remove } = temporaryFolder();
const machinesOwn = process.env.PATH;
let systemd: Systemd;
let fleet: Fleet;
let client: TestClient;

const ask = (action: string, service: string) =>
  client.ask('systemd.test', 'service', action, { service }, { timeoutMs: 30_000 });
const mainPid = (unit: string) => systemd.systemctl('show', '--value', '-p', 'MainPID', unit).trim();

beforeAll(async () => {
  systemd = await Systemd.start(folder);
  systemd.writeUnit('sleeper.service', '[Service]\nExecStart=/bin/sleep 600\n');
  systemd.writeUnit('worker@.service', '[Service]\nExecStart=/bin/sleep 600\n');
  systemd.writeUnit('fragile.service', '[Service]\nType=oneshot\nExecStart=/bin/false\n');
  systemd.writeUnit('slow.service', '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 1\n');
  process.env.PATH = `${systemd.programs}:${machinesOwn}`;
  fleet = await Fleet.start();
  await fleet.node('systemd.test', { config: { 'plugin.service.provider': 'systemd' } });
  client = await fleet.client();
}, 120_000);

afterAll(async () => {
  await fleet?.stop();
  await systemd?.stop();
  process.env.PATH = machinesOwn;
  remove();
});

test.each(['sleeper', 'sleeper.service', 'worker@one'])('%s is started, restarted and stopped', async (name) => {
  expect(await ask('status', name)).toMatchObject({ statuscode: 0, data: { status: 'stopped' } });
  expect(await ask('start', name)).toMatchObject({ statuscode: 0, data: { status: 'running' } });
  const first = mainPid(name);
  expect(Number(first)).toBeGreaterThan(1);
  expect(await ask('start', name)).toMatchObject({ statuscode: 1, statusmsg: `${name} is already running` });
  expect(await ask('restart', name)).toMatchObject({ statuscode: 0, data: { status: 'running' } });
  expect(mainPid(name)).not.toBe(first);
  expect(await ask('stop', name)).toMatchObject({ statuscode: 0, data: { status: 'stopped' } });
  expect(mainPid(name)).toBe('0');
  expect(await ask('stop', name)).toMatchObject({ statuscode: 1, statusmsg: `${name} is already stopped` });
});

test('a service that takes its time is waited for', async () => {
  expect(await ask('start', 'slow')).toMatchObject({ statuscode: 0, data: { status: 'running' } });
});

test('a service that does not start, or may not, says why', async () => {
  expect(await ask('start', 'fragile')).toMatchObject({
    statuscode: 1,
    statusmsg: expect.stringMatching(/^could not start fragile: Job for fragile\.service failed/),
    data: { status: 'stopped' },
  });
  writeFileSync(join(systemd.units, 'masked.service'), '');
  systemd.systemctl('daemon-reload');
  expect(await ask('start', 'masked')).toMatchObject({ statuscode: 1, statusmsg: expect.stringContaining('masked') });
});

test.each(['start', 'stop', 'restart', 'status'])('%s of a service that is not there says so', async (action) => {
  expect(await ask(action, 'nobody')).toMatchObject({
    statuscode: 1,
    statusmsg: 'there is no service nobody on this machine',
    data: { status: 'unknown' },
  });
});

test('hostile texts are no services', async () => {
  const proof = join(folder, 'proof');
  for (const [what, text] of Object.entries({ ...hostileTexts(proof), 'a pattern': '*', 'an option': '--force' }))
    expect([what, (await ask('stop', text)).statuscode]).toEqual([what, 4]);
  expect(wasTakenForACommand(proof)).toBe(false);
});
