// The agent `service` with an init script of the test's own, as SysV runs it. On a real systemd: service-systemd.full.test.ts.

import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { isAlive, temporaryFolder, until } from '../support/folders.ts';
import { hostileTexts, wasTakenForACommand } from '../support/hostile.ts';
import type { TestHost } from '../support/hosts.ts';

const { path: folder, remove } = temporaryFolder();
const scripts = join(folder, 'init.d');
const pidFile = join(folder, 'sleeper.pid');
let fleet: Fleet;
let node: TestHost;
let client: TestClient;

const ask = (action: string, service: string) =>
  client.ask('services.test', 'service', action, { service }, { timeoutMs: 30_000 });
const pid = () => Number(readFileSync(pidFile, 'utf8'));

function writeScript(name: string, body: string): void {
  writeFileSync(join(scripts, name), `#!/bin/sh\n${body}`);
  chmodSync(join(scripts, name), 0o755);
}

beforeAll(async () => {
  mkdirSync(scripts);
  // A daemon that keeps the output of its script open, as careless ones do.
  writeScript(
    'sleeper',
    `PID=${pidFile}
start() { sleep 600 & echo $! > "$PID"; }
stop() { kill "$(cat "$PID")" && rm "$PID"; }
case $1 in
  start) start ;;
  stop) stop ;;
  restart) [ -e "$PID" ] && stop; start ;;
  status)
    [ -e "$PID" ] || exit 3
    kill -0 "$(cat "$PID")" 2> /dev/null || exit 1 ;;
esac
`,
  );
  writeScript('stubborn', '[ "$1" = status ] && exit 3\necho its port is taken >&2\nexit 7\n');
  writeScript('vague', 'exit 4\n');
  writeFileSync(join(scripts, 'README'), 'not a script\n');
  fleet = await Fleet.start();
  node = await fleet.node('services.test', {
    config: { 'plugin.service.provider': 'sysv', 'plugin.service.init_folder': scripts },
  });
  client = await fleet.client();
});

afterAll(async () => {
  if (existsSync(pidFile)) process.kill(pid());
  await fleet?.stop();
  remove();
});

describe('a service with an init script', () => {
  test('is started, restarted and stopped, and tells what it is', async () => {
    expect(await ask('status', 'sleeper')).toMatchObject({ statuscode: 0, data: { status: 'stopped' } });
    expect(await ask('start', 'sleeper')).toMatchObject({ statuscode: 0, data: { status: 'running' } });
    const first = pid();
    expect(isAlive(first)).toBe(true);
    expect(await ask('restart', 'sleeper')).toMatchObject({ statuscode: 0, data: { status: 'running' } });
    expect(pid()).not.toBe(first);
    expect(await ask('stop', 'sleeper')).toMatchObject({ statuscode: 0, data: { status: 'stopped' } });
    expect(await ask('restart', 'sleeper')).toMatchObject({ statuscode: 0, data: { status: 'running' } });
    await ask('stop', 'sleeper');
  });

  test('that is already as it should be ends the action with status 1, as in the original', async () => {
    expect(await ask('stop', 'sleeper')).toMatchObject({
      statuscode: 1,
      statusmsg: 'sleeper is already stopped',
      data: { status: 'stopped' },
    });
    await ask('start', 'sleeper');
    expect(await ask('start', 'sleeper')).toMatchObject({
      statuscode: 1,
      statusmsg: 'sleeper is already running',
      data: { status: 'running' },
    });
  });

  test('runs on when the agent is gone', async () => {
    const agent = Number(node.host.list('agent').find(({ name }) => name === 'service')?.pid);
    process.kill(-agent, 'SIGKILL');
    await until('the agent is gone', () => !isAlive(agent));
    expect(await ask('status', 'sleeper')).toMatchObject({ statuscode: 0, data: { status: 'running' } });
    expect(isAlive(pid())).toBe(true);
  });

  test('that died is stopped', async () => {
    process.kill(pid(), 'SIGKILL');
    await until('it is gone', () => !isAlive(pid()));
    expect(await ask('status', 'sleeper')).toMatchObject({ statuscode: 0, data: { status: 'stopped' } });
    rmSync(pidFile);
  });

  test('that does not start says why', async () => {
    expect(await ask('start', 'stubborn')).toMatchObject({
      statuscode: 1,
      statusmsg: 'could not start stubborn: its init script ended with 7: its port is taken',
      data: { status: 'stopped' },
    });
  });

  test('whose script can not tell is unknown', async () => {
    expect(await ask('status', 'vague')).toMatchObject({ statuscode: 0, data: { status: 'unknown' } });
  });

  test.each(['start', 'stop', 'restart', 'status'])('that is not there can not %s', async (action) => {
    for (const name of ['nobody', 'README'])
      expect(await ask(action, name)).toMatchObject({
        statuscode: 1,
        statusmsg: `there is no service ${name} on this machine`,
        data: { status: 'unknown' },
      });
  });
});

test.each(['start', 'stop', 'restart', 'status'])('%s takes no hostile text for a service', async (action) => {
  const proof = join(folder, 'proof');
  const more = { 'a folder': '..', 'this folder': '.', 'a script elsewhere': '/bin/true' };
  for (const [what, text] of Object.entries({ ...hostileTexts(proof), ...more })) {
    expect([what, (await ask(action, text)).statuscode]).toEqual([what, 4]);
    const invocation = { agent: 'service', action, data: { service: text } };
    const byAgent = (await node.host.call('agent', 'service', 'agent/invoke', invocation)) as { statuscode: number };
    expect([what, byAgent.statuscode]).toEqual([what, 4]);
  }
  expect(wasTakenForACommand(proof)).toBe(false);
});
